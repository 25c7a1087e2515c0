/**
 * Growing an attached volume: every shard durably holds the new size and its new runs before anyone
 * hears of it. Each column goes on at the node that holds its last extent.
 *
 * Invariants: runs that a shard took in an earlier attempt are not granted again elsewhere; the
 * layout that comes back covers the whole new size.
 */

import { assert } from '../../protocols/assert.ts'
import type { Segment } from '../../protocols/attach/placement.ts'
import { placementOf } from '../../protocols/attach/placement.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId, PlacementEpoch, Run, Token, VolumeId } from '../../protocols/ids.ts'
import { compareTokens } from '../../protocols/ids.ts'
import { BLOCK_BYTES, MAX_ATTACH_NODES, MAX_VOLUME_BYTES } from '../../protocols/limits.ts'
import type { ControlAnswer, ShardState } from '../../protocols/shard-control/messages.ts'
import { columnBytes, extentCount } from '../../protocols/stripe/map.ts'
import { Layout } from './layout.ts'
import type { ShardCalls } from './shard-calls.ts'

/** The layout of the grown volume. Throws BAD_INPUT, NO_SPACE, FENCED, IO_ERROR, UNREACHABLE. */
export async function growVolume(
  layout: Layout,
  token: Token,
  sizeBytes: number,
  calls: ShardCalls
): Promise<Layout> {
  checkSize(layout.sizeBytes, sizeBytes)
  if (sizeBytes === layout.sizeBytes) return layout
  const { spec } = layout
  const nodes = [...layout.nodes]
  const states = await Promise.all(
    nodes.map(node => ask(node, () => calls(node, { call: 'query', volume: spec.id })))
  )
  const known = placementOf(spec, layout.sizeBytes, holdings(nodes, states))
  const runs = newRuns(layout, known.columns, token, sizeBytes)
  const grown = await Promise.all(
    nodes.map(node => {
      const request = { call: 'grow', volume: spec.id, token, sizeBytes } as const
      return ask(node, () => calls(node, { ...request, runs: runs.get(node) ?? [] }))
    })
  )
  const placement = placementOf(spec, sizeBytes, holdings(nodes, grown))
  assert(placement.gaps.length === 0, 'the shards of a grown volume cover it')
  return new Layout(spec, sizeBytes, placement)
}

/**
 * What the shards that granted `token` hold now; undefined if they do not cover the volume. Besides
 * those of the layout, the nodes that the map names are asked, and those to whom a shard released.
 */
export async function currentLayout(
  layout: Layout,
  token: Token,
  calls: ShardCalls,
  named: readonly NodeId[] = []
): Promise<Layout | undefined> {
  const { spec, sizeBytes } = layout
  const asked = new Set<NodeId>()
  const held: Array<{ node: NodeId; runs: readonly Run[] }> = []
  let next: readonly NodeId[] = [...new Set([...layout.nodes, ...named])]
  while (next.length > 0) {
    for (const node of next) asked.add(node)
    const states = await statesOf(spec.id, next, token, calls)
    for (const [node, { runs }] of states) held.push({ node, runs })
    const to = new Set([...states.values()].flatMap(state => state.released.map(one => one.to)))
    next = [...to].filter(node => !asked.has(node)).slice(0, MAX_ATTACH_NODES - asked.size)
  }
  const placement = placementOf(spec, sizeBytes, held)
  return placement.gaps.length > 0 ? undefined : new Layout(spec, sizeBytes, placement)
}

/** Of those nodes that answer, and have granted this very token. */
async function statesOf(
  volume: VolumeId,
  nodes: readonly NodeId[],
  token: Token,
  calls: ShardCalls
): Promise<Map<NodeId, ShardState>> {
  const answers = await Promise.allSettled(
    nodes.map(node => calls(node, { call: 'query', volume }))
  )
  const states = new Map<NodeId, ShardState>()
  nodes.forEach((node, i) => {
    const answer = answers[i]
    if (answer?.status !== 'fulfilled' || answer.value.is !== 'state') return
    const { state } = answer.value
    if (compareTokens(state.token, token) === 0) states.set(node, state)
  })
  return states
}

function checkSize(oldBytes: number, newBytes: number): void {
  const isSize = Number.isInteger(newBytes / BLOCK_BYTES) && newBytes <= MAX_VOLUME_BYTES
  if (isSize && newBytes >= oldBytes) return
  const why = isSize ? 'a volume only grows' : `a size is a multiple of ${BLOCK_BYTES} bytes`
  throw new ShoalError({ code: 'BAD_INPUT', field: 'size' }, why)
}

function holdings(
  nodes: readonly NodeId[],
  states: readonly ShardState[]
): Array<{ node: NodeId; runs: readonly Run[] }> {
  return nodes.map((node, i) => ({ node, runs: states[i]?.runs ?? [] }))
}

function newRuns(
  layout: Layout,
  columns: ReadonlyArray<readonly Segment[]>,
  token: Token,
  sizeBytes: number
): Map<NodeId, Run[]> {
  const { spec } = layout
  const to = extentCount(spec, sizeBytes)
  // Unique under this token: no two growths of one attachment end at the same extent.
  const epoch: PlacementEpoch = { token, counter: to }
  const runs = new Map<NodeId, Run[]>()
  columns.forEach((segments, column) => {
    const last = segments.at(-1)
    if (columnBytes(spec, column) === 0 || last === undefined || last.to >= to) return
    const run: Run = { from: last.to, to, generation: spec.generation, column, replica: 0, epoch }
    runs.set(last.node, [...(runs.get(last.node) ?? []), run])
  })
  return runs
}

async function ask(node: NodeId, call: () => Promise<ControlAnswer>): Promise<ShardState> {
  const answer = await call()
  switch (answer.is) {
    case 'state':
      return answer.state
    case 'stale':
      throw new ShoalError({ code: 'FENCED', by: answer.holder?.host ?? '' }, 'taken by another')
    case 'no-space':
      throw new ShoalError({ code: 'NO_SPACE' }, `${node} has no space left`)
    case 'removed':
      throw new ShoalError({ code: 'NOT_FOUND', what: 'volume' }, 'the volume was deleted')
    case 'failed':
    case 'busy':
      throw new ShoalError({ code: 'IO_ERROR' }, `${node}: ${answer.why}`)
    case 'absent':
    case 'done':
    case 'digest':
      throw new ShoalError({ code: 'NO_CHUNK' }, `${node} answered ${answer.is}`)
  }
}
