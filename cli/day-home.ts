/** Where the chunks of a volume are; and all of them moved to one node, by the moves of `shoal move`. */
import { setTimeout as pause } from 'node:timers/promises'
import type { MoveDocument, MovesDocument, VolumeDocument } from '../node/control/documents.ts'
import type { Client } from './client.ts'

const POLL_MS = 100
const MOVE_LIMIT_MS = 120_000

/** Names of the nodes that hold chunks of it, and how many. */
export async function homesOf(client: Client, volume: string): Promise<Map<string, number>> {
  const { shards } = await client.get<VolumeDocument>(`/v1/volumes/${volume}`)
  return new Map(shards.flatMap(({ name, chunks = 0 }) => (chunks > 0 ? [[name, chunks]] : [])))
}

/** Throws if a move fails. */
export async function bringHome(client: Client, volume: string, home: string): Promise<void> {
  const away = [...(await homesOf(client, volume)).keys()].filter(name => name !== home)
  const ids: string[] = []
  for (const from of away) {
    const { id } = await client.post<MoveDocument>('/v1/moves', { volume, from, to: home })
    ids.push(id)
  }
  const deadlineMs = performance.now() + MOVE_LIMIT_MS
  while (ids.length > 0) {
    const { moves } = await client.get<MovesDocument>('/v1/moves')
    const open = moves.filter(({ id }) => ids.includes(id)).filter(({ state }) => state !== 'done')
    if (open.length === 0) return
    const failed = open.find(({ state }) => state === 'failed' || state === 'cancelled')
    if (failed !== undefined) throw new Error(`the move home: ${failed.trouble ?? failed.state}`)
    if (performance.now() > deadlineMs) throw new Error('the move home does not end')
    await pause(POLL_MS)
  }
}
