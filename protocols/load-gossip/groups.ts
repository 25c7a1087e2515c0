/**
 * Who hears whose samples: the mesh in groups, by the map alone, so that all who see the same map
 * agree. Up to 64 nodes are one group. A larger mesh has a group for each region; a region of more
 * than 64 nodes is split by the low bits of a hash of node ids, into so many that none is expected
 * to have more.
 *
 *   bits 0   north ──────────── 0 ────────────      topic .../region/north/0
 *   bits 1         ───── 0 ──────  ───── 1 ─────    group 0 keeps the topic when a region is split
 *   bits 2         ── 0 ── ── 2 ──  ── 1 ── ── 3 ──
 *
 * Invariants: every node is in exactly one group; a node's group at any number of bits follows from
 * its own id and region, so it can name all its topics before it knows the mesh.
 */
import { xxh64 } from '@node-rs/xxhash'
import type { NodeId } from '../ids.ts'
import { GROUP_NODES, MAX_GROUP_BITS } from './limits.ts'

export interface Place {
  readonly id: NodeId
  readonly region: string
}

export interface Group {
  /** Undefined: the whole mesh. */
  readonly region: string | undefined
  readonly bits: number
  readonly index: number
  /** In ascending order. */
  readonly members: readonly NodeId[]
  /** In [0, 1): when in a round it is summarised. */
  readonly phase: number
}

export interface Groups {
  readonly all: readonly Group[]
  readonly of: ReadonlyMap<NodeId, Group>
}

const SHORT_NAME_BITS = 0xffff_ffff_ffffn
const PREFIX = '/shoal/load/1'

export const ALL_TOPIC = `${PREFIX}/all`
export const SUMMARIES_TOPIC = `${PREFIX}/summaries`

/**
 * 48 bits for a node, instead of an id of 52 characters. Of 4,096 nodes two share one with odds of 1
 * to 30 million; then neither is told of in summaries (table.ts), so none is taken for the other.
 */
export function shortName(id: NodeId): number {
  return Number(xxh64(id) & SHORT_NAME_BITS)
}

/** The group of `name` within its region at so many bits. */
export function indexAt(name: number, bits: number): number {
  return name % 2 ** bits
}

export function groupTopic({ region, index }: Pick<Group, 'region' | 'index'>): string {
  return region === undefined ? ALL_TOPIC : `${PREFIX}/region/${region}/${index}`
}

function phaseOf(group: Pick<Group, 'region' | 'index'>): number {
  return Number(xxh64(groupTopic(group)) & 0xffff_ffffn) / 2 ** 32
}

/** Every topic on which the node `id` of `region` ever speaks or listens: nine at most. */
export function loadTopics(id: NodeId, region: string): string[] {
  const name = shortName(id)
  const topics = new Set([ALL_TOPIC, SUMMARIES_TOPIC])
  for (let bits = 0; bits <= MAX_GROUP_BITS; bits++) {
    topics.add(groupTopic({ region, index: indexAt(name, bits) }))
  }
  return [...topics]
}

/** `places`: each node once. */
export function groupMesh(places: readonly Place[]): Groups {
  const ids = places.map(({ id }) => id)
  const whole = { region: undefined, bits: 0, index: 0, ids }
  const parts = places.length <= GROUP_NODES ? [whole] : split(places)
  const all = parts
    .filter(part => part.ids.length > 0)
    .map(({ ids, ...name }): Group => ({ ...name, members: ids.sort(), phase: phaseOf(name) }))
  const of = new Map<NodeId, Group>()
  for (const group of all) for (const id of group.members) of.set(id, group)
  return { all, of }
}

interface Part {
  readonly region: string | undefined
  readonly bits: number
  readonly index: number
  readonly ids: NodeId[]
}

function split(places: readonly Place[]): Part[] {
  const regions = new Map<string, NodeId[]>()
  for (const { id, region } of places) {
    const ids = regions.get(region)
    if (ids === undefined) regions.set(region, [id])
    else ids.push(id)
  }
  return [...regions].flatMap(([region, ids]) => {
    const bits = bitsFor(ids.length)
    const parts = Array.from(
      { length: 2 ** bits },
      (_, index): Part => ({ region, bits, index, ids: [] })
    )
    for (const id of ids) parts[indexAt(shortName(id), bits)]?.ids.push(id)
    return parts
  })
}

function bitsFor(nodes: number): number {
  const bits = Math.ceil(Math.log2(nodes / GROUP_NODES))
  return Math.min(MAX_GROUP_BITS, Math.max(0, bits))
}
