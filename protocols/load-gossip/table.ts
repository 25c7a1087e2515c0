/**
 * What a node knows of the load of every other: the sample that it heard itself, or what a summary
 * told of it, whichever is newer. Time is passed in.
 *
 *   sample  ── wall time, sequence, bounds ──> entry of its author
 *   summary ── the same ──> each of its entries, if that node is in the author's group by the map
 *
 * Invariants: only nodes of the mesh have entries; of one author and kind, sequences only grow; ages
 * are of our own monotonic clock, so no one's wall clock makes a sample fresher than it is, but for
 * what a summary says of another's.
 */
import type { NodeId } from '../ids.ts'
import type { Place } from './groups.ts'
import { indexAt, shortName } from './groups.ts'
import {
  FRESH_INTERVALS,
  FRESH_SLACK_MS,
  MAX_AGE_MS,
  MAX_AHEAD_MS,
  MAX_FREE_BYTES,
  MAX_UNITS,
  SUMMARY_NEWER_MS
} from './limits.ts'
import type { GroupSummary, LoadMessage, NodeSample, Sequence, SummaryEntry } from './messages.ts'

export interface Instant {
  readonly wallMs: number
  readonly monotonicMs: number
}

/** Why something was dropped. */
export type Refusal =
  | 'malformed'
  /** Its wall time is too far ahead of ours, or too far back. */
  | 'early'
  | 'late'
  /** Its sequence does not follow the last one of its author. */
  | 'replay'
  /** An amount that no node has. */
  | 'huge'
  /** Entries of a summary that are not of its author's group. */
  | 'foreign'
  /** Its author has said more than its part of the budget. */
  | 'flood'

export interface KnownLoad {
  readonly node: NodeId
  /** Since the node said it. */
  readonly ageMs: number
  /** In full by the node itself, or what another told of it. */
  readonly from: 'sample' | 'summary'
  /** Who said it: the node itself, or its summariser. */
  readonly by: NodeId
  readonly load: number
  /** 0: unknown. */
  readonly capacity: number
  readonly freeBytes: number
  /** High quantile an hour ahead, and the chance of an overload until then. */
  readonly forecast: { readonly q95: number; readonly chance: number } | undefined
  readonly sample: NodeSample | undefined
}

interface Entry {
  readonly bornMs: number
  readonly by: NodeId
  readonly said: NodeSample | SummaryEntry
}

interface Node {
  readonly place: Place
  readonly name: number
  entry: Entry | undefined
  lastSample: Sequence | undefined
  lastSummary: Sequence | undefined
}

export class LoadTable {
  #nodes = new Map<NodeId, Node>()
  /** Undefined where two nodes share a short name. */
  #byName = new Map<number, Node | undefined>()

  /** Replaces the mesh: what is known of others is forgotten. */
  setMesh(places: readonly Place[]): void {
    const before = this.#nodes
    this.#nodes = new Map()
    this.#byName = new Map()
    for (const place of places) {
      const known = before.get(place.id)
      const name = known?.name ?? shortName(place.id)
      const node: Node = {
        place,
        name,
        entry: known?.entry,
        lastSample: known?.lastSample,
        lastSummary: known?.lastSummary
      }
      this.#nodes.set(place.id, node)
      this.#byName.set(name, this.#byName.has(name) ? undefined : node)
    }
  }

  has(id: NodeId): boolean {
    return this.#nodes.has(id)
  }

  /** What `author`, a node of the mesh, said; the refusals, if any. A summary may be taken in part. */
  take(author: NodeId, message: LoadMessage, now: Instant): Refusal | undefined {
    const node = this.#nodes.get(author)
    if (node === undefined) return 'foreign'
    if (message.at > now.wallMs + MAX_AHEAD_MS) return 'early'
    if (message.at < now.wallMs - MAX_AGE_MS) return 'late'
    return message.is === 'sample'
      ? takeSample(node, message, now)
      : this.#takeSummary(node, message, now)
  }

  known(id: NodeId, monotonicMs: number): KnownLoad | undefined {
    const entry = this.#nodes.get(id)?.entry
    return entry === undefined ? undefined : knownOf(id, entry, monotonicMs)
  }

  /** By its own word, and not long ago: it is alive, and may be told of. */
  isFresh(id: NodeId, monotonicMs: number): boolean {
    const entry = this.#nodes.get(id)?.entry
    if (entry === undefined || !('is' in entry.said)) return false
    const lastsMs = FRESH_INTERVALS * entry.said.intervalMs + FRESH_SLACK_MS
    return monotonicMs - entry.bornMs <= lastsMs
  }

  all(monotonicMs: number): KnownLoad[] {
    const found: KnownLoad[] = []
    for (const [id, { entry }] of this.#nodes) {
      if (entry !== undefined) found.push(knownOf(id, entry, monotonicMs))
    }
    return found
  }

  #takeSummary(author: Node, summary: GroupSummary, now: Instant): Refusal | undefined {
    if (!follows(summary.sequence, author.lastSummary)) return 'replay'
    if (summary.entries.some(isHuge)) return 'huge'
    author.lastSummary = summary.sequence
    const { region } = author.place
    const index = indexAt(author.name, summary.bits)
    let refusal: Refusal | undefined
    for (const entry of summary.entries) {
      const node = this.#byName.get(entry.name)
      // One of whom the map has not told us yet, or two of one short name.
      if (node === undefined) continue
      const isOfGroup = node.place.region === region && indexAt(node.name, summary.bits) === index
      if (isOfGroup) takeEntry(node, entry, author.place.id, now)
      else refusal = 'foreign'
    }
    return refusal
  }
}

function takeSample(node: Node, sample: NodeSample, now: Instant): Refusal | undefined {
  if (!follows(sample.sequence, node.lastSample)) return 'replay'
  if (isHugeSample(sample)) return 'huge'
  node.lastSample = sample.sequence
  node.entry = { bornMs: now.monotonicMs, by: node.place.id, said: sample }
  return undefined
}

function takeEntry(node: Node, said: SummaryEntry, by: NodeId, now: Instant): void {
  const bornMs = now.monotonicMs - said.ageMs
  const known = node.entry
  if (known !== undefined) {
    const isSample = 'is' in known.said
    if (bornMs <= known.bornMs + (isSample ? SUMMARY_NEWER_MS : 0)) return
  }
  node.entry = { bornMs, by, said }
}

function follows(next: Sequence, last: Sequence | undefined): boolean {
  if (last === undefined || next.start > last.start) return true
  return next.start === last.start && next.number > last.number
}

function isHuge({ load, capacity, freeBytes, forecast, ageMs }: SummaryEntry): boolean {
  const units = Math.max(load, capacity, forecast?.q95 ?? 0)
  return units > MAX_UNITS || freeBytes > MAX_FREE_BYTES || ageMs > MAX_AGE_MS
}

function isHugeSample({
  load,
  capacity,
  freeBytes,
  forecast,
  threshold,
  shards
}: NodeSample): boolean {
  const quantiles = [forecast?.in15.q95 ?? 0, forecast?.in60.q95 ?? 0]
  const units = Math.max(load, capacity, threshold?.load ?? 0, ...quantiles)
  const isHugeShard = shards.some(shard => {
    const { in15, in60 } = shard.forecast ?? {}
    return Math.max(shard.load, in15?.q95 ?? 0, in60?.q95 ?? 0) > MAX_UNITS
  })
  return units > MAX_UNITS || freeBytes > MAX_FREE_BYTES || isHugeShard
}

function knownOf(node: NodeId, { bornMs, by, said }: Entry, monotonicMs: number): KnownLoad {
  const sample = 'is' in said ? said : undefined
  const told = 'is' in said ? undefined : said.forecast
  const ahead = sample?.forecast
  return {
    node,
    ageMs: Math.max(0, monotonicMs - bornMs),
    from: sample === undefined ? 'summary' : 'sample',
    by,
    load: said.load,
    capacity: said.capacity,
    freeBytes: said.freeBytes,
    forecast: ahead === undefined ? told : { q95: ahead.in60.q95, chance: ahead.chance },
    sample
  }
}
