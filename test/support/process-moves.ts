/** Moves as tests, benches and soaks ask for them: begun with the CLI, waited for over its API. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { messageOf } from '../../protocols/fault.ts'
import type { HandoffStep } from '../../protocols/handoff/steps.ts'
import { PROGRAMS } from './process-cli.ts'
import { ask } from './process-control.ts'
import type { ProcessNode, UpOptions } from './process-mesh.ts'
import { until } from './process-spawn.ts'

const MOVE_MS = 120_000

export interface MoveLine {
  readonly id: string
  readonly fromName: string
  readonly toName: string
  readonly state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled'
  readonly chunks: { readonly total: number; readonly done: number }
  readonly bytes: { readonly total: number; readonly done: number }
  readonly longestPauseMs: number
  /** Wall ms. */
  readonly since: number
  readonly endedAt?: number
  readonly trouble?: string
}

/** A daemon that can be told to die. */
export const MORTAL: UpOptions = { program: [join(PROGRAMS, 'handoff-launcher.js')] }

/** A daemon that is MORTAL kills itself when a handoff reaches the step. */
export function dieAt(node: ProcessNode, step: HandoffStep): void {
  writeFileSync(`${node.dir}.die-at`, step)
}

/** Asks for a move; its id. */
export async function startMove(
  at: ProcessNode,
  volume: string,
  from: string,
  to: string,
  ...options: string[]
): Promise<string> {
  const words = ['move', volume, '--from', from, '--to', to, ...options]
  return (await at.json<{ id: string }>(...words)).id
}

export async function movesOf(at: ProcessNode): Promise<readonly MoveLine[]> {
  return (await ask<{ moves: MoveLine[] }>(at.dir, 'GET', '/v1/moves')).moves
}

/** Waits until the move has ended; throws unless it is done. */
export async function moveDone(
  at: ProcessNode,
  id: string,
  { timeoutMs = MOVE_MS, pollMs }: { timeoutMs?: number; pollMs?: number } = {}
): Promise<MoveLine> {
  let last: MoveLine | undefined
  const move = await until(
    `move ${id} has ended`,
    async () => {
      last = (await movesOf(at)).find(line => line.id === id)
      const isOpen = last?.state === 'running' || last?.state === 'queued'
      return isOpen ? undefined : last
    },
    timeoutMs,
    pollMs
  ).catch(error => {
    throw new Error(`${messageOf(error)}; last seen: ${JSON.stringify(last)}`)
  })
  if (move.state !== 'done') throw new Error(`move ${id} is ${move.state}: ${move.trouble}`)
  return move
}

interface ShownShard {
  readonly name: string
  readonly chunks?: number
  readonly ranges?: ReadonlyArray<{ column: number; from: number; to: number }>
}

async function shardsOf(at: ProcessNode, volume: string): Promise<readonly ShownShard[]> {
  return (await at.json<{ shards: ShownShard[] }>('volume', 'show', volume)).shards
}

/** Chunks that each node holds of a volume, as the nodes themselves say. */
export async function chunksByNode(
  at: ProcessNode,
  volume: string
): Promise<ReadonlyMap<string, number>> {
  return new Map((await shardsOf(at, volume)).map(({ name, chunks }) => [name, chunks ?? 0]))
}

/** Chunks of a volume, `extent.column`, each as often as nodes say that they hold it; sorted. */
export async function homesOf(at: ProcessNode, volume: string): Promise<string[]> {
  const shards = await shardsOf(at, volume)
  return shards
    .flatMap(({ ranges = [] }) => ranges)
    .flatMap(({ column, from, to }) =>
      Array.from({ length: to - from }, (_, i) => `${from + i}.${column}`)
    )
    .sort()
}
