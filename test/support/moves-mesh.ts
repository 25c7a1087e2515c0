/**
 * A mesh in memory with one volume whose chunks can move: what tests of moves and drains share. Its
 * parts are bindings that `setUp` makes anew for each test.
 */
import { expect } from 'vitest'
import type { MoveDocument, MovesDocument } from '../../node/control/documents.ts'
import { blockChecksums } from '../../protocols/checksum.ts'
import type { ChunkKey, VolumeId } from '../../protocols/ids.ts'
import { GiB, KiB } from '../../protocols/limits.ts'
import { type CliMesh, type CliNode, smallMesh, until } from './cli-mesh.ts'

export const EXTENTS = 16
export const DATA_BYTES = 64 * KiB

export let mesh: CliMesh & { gate: CliNode }
export let id: VolumeId
/** Holds column 0; column 1; nothing of the volume. */
export let a: CliNode
export let b: CliNode
export let c: CliNode

/** A volume of two columns over two of three storage nodes, with data in every chunk. */
export async function setUp(): Promise<void> {
  mesh = await smallMesh()
  const created = await mesh.gate.volumes.create({ name: 'web', sizeBytes: GiB, shards: 2 })
  id = created.id
  const nodes = [...mesh.nodes.values()]
  const at = (column: number) => nodes.find(node => node.id === created.nodes[column])
  const spare = nodes.find(node => node.store !== undefined && !created.nodes.includes(node.id))
  const [one, two] = [at(0), at(1)]
  if (one === undefined || two === undefined || spare === undefined) throw new Error('three nodes')
  a = one
  b = two
  c = spare
  await until(() => [a, b, c].every(node => node.context.map.mesh().volumes.has(id)))
  await until(() => [a, b].every(node => node.context.map.volume(id) !== undefined))
  for (const node of [a, b]) await fill(node)
}

/** The source's process dies, and a new one starts on what it kept. */
export async function restartSource(): Promise<void> {
  mesh.kill(a.name)
  a = await mesh.start(a.name, a.context.self.region, 'storage')
  await mesh.converged()
}

/** 64 KiB in each chunk that the node holds, different in each. */
async function fill(node: CliNode): Promise<void> {
  const column = node === a ? 0 : 1
  for (let extent = 0; extent < EXTENTS; extent++) {
    const data = new Uint8Array(DATA_BYTES).fill(extent * 2 + column + 1)
    await node.store?.write(chunk(extent, column), 0, data, blockChecksums(data))
  }
}

export function chunk(extent: number, column: number): ChunkKey {
  return { volume: id, extent, generation: 0, column, replica: 0 }
}

/** Who holds the chunk: exactly one node, with the very bytes. */
export async function homeOf(extent: number, column: number): Promise<CliNode> {
  const homes = [...mesh.nodes.values()].filter(({ store }) =>
    store
      ?.shard(id)
      ?.runs.some(run => run.column === column && run.from <= extent && extent < run.to)
  )
  expect(homes.map(({ name }) => name)).toHaveLength(1)
  const [home] = homes
  if (home?.store === undefined) throw new Error('no home')
  const { data } = await home.store.read(chunk(extent, column), 0, DATA_BYTES)
  expect(data.every(byte => byte === extent * 2 + column + 1)).toBe(true)
  return home
}

export async function homes(column: number): Promise<string[]> {
  const names: string[] = []
  for (let extent = 0; extent < EXTENTS; extent++) names.push((await homeOf(extent, column)).name)
  return names
}

export interface Answer<T> {
  readonly status: number
  readonly body: T & { error: { code: string; message: string } }
}

export async function ask<T = object>(
  method: string,
  path: string,
  body?: object,
  node: CliNode = mesh.gate
): Promise<Answer<T>> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) }
  const response = await node.app.request(path, init)
  return { status: response.status, body: (await response.json()) as Answer<T>['body'] }
}

export async function move(more: object = {}): Promise<Answer<MoveDocument>> {
  return ask<MoveDocument>('POST', '/v1/moves', {
    volume: 'web',
    from: a.name,
    to: c.name,
    ...more
  })
}

export async function moves(query = ''): Promise<MovesDocument> {
  return (await ask<MovesDocument>('GET', `/v1/moves${query}`)).body
}

export async function untilAsync(condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 10_000
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error('the state did not come about in time')
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

export async function ended(moveId: string): Promise<MoveDocument> {
  let found: MoveDocument | undefined
  await untilAsync(async () => {
    found = (await moves()).moves.find(one => one.id === moveId)
    return found?.endedAt !== undefined
  })
  if (found === undefined) throw new Error('no such move')
  return found
}
