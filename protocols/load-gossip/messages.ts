/**
 * load-gossip: what a node says of its load, and what one of a group says of all (PROTOCOL.md).
 * Big endian; `log`, `part` and skill are those of codes.ts. Whose words they are is not in them:
 * gossipsub's signature says so.
 *
 *   sample    kind 1 | wall ms u48 | start u32 | number u32 | interval u16 (tenths of a second)
 *             | capacity log | free log | load log | threshold log | its kind u8 (0 none)
 *             | q50 q90 q95 at 15 min, the same at 60: 6 log | skill i8 | chance part (255: no forecast)
 *             | shards u16 | listed u16 | listed x shard                                    44 bytes
 *   shard     volume 16 bytes | load log | q50 q95 at 15 min, at 60: 4 log | chance part    27 bytes
 *   summary   kind 2 | wall ms u48 | start u32 | number u32 | bits u8 | heard u16 | listed u16
 *             | listed x entry                                                              20 bytes
 *   entry     short name u48 | age u16 (tenths of a second) | load log | q95 at 60 min log
 *             | capacity log | free log | chance part                                       17 bytes
 *
 * Invariants: any bytes decode to one message or to nothing; a message has exactly the length that
 * its counts say; what is decoded encodes to the same bytes.
 */
import { assert } from '../assert.ts'
import type { VolumeId } from '../ids.ts'
import { LoadReader, LoadWriter, refuse, Unreadable } from './bytes.ts'
import { fromPart, fromSkill, toPart, toSkill } from './codes.ts'
import {
  MAX_COUNT,
  MAX_GROUP_BITS,
  MAX_LISTED_SHARDS,
  MAX_SUMMARY_ENTRIES,
  SAMPLE_HEAD_BYTES,
  SHARD_BYTES,
  SUMMARY_ENTRY_BYTES,
  SUMMARY_HEAD_BYTES
} from './limits.ts'

/** Grows with every message of its kind: (start of the node, number within it). */
export interface Sequence {
  readonly start: number
  readonly number: number
}

/** Units per second (protocols/load/record.ts). */
export interface Band {
  readonly q50: number
  readonly q90: number
  readonly q95: number
}

export interface NodeForecast {
  readonly in15: Band
  readonly in60: Band
  /** 1 - error / error of the better naive model. */
  readonly skill: number
  /** That an overload starts within the hour, 0 to 1. */
  readonly chance: number
}

export interface ShardForecast {
  readonly in15: { readonly q50: number; readonly q95: number }
  readonly in60: { readonly q50: number; readonly q95: number }
  readonly chance: number
}

export interface ShardLoad {
  readonly volume: VolumeId
  readonly load: number
  /** Absent while it is too young for one. */
  readonly forecast?: ShardForecast
}

/** What a node says of itself. */
export interface OwnLoad {
  /** Units per second that it can do; 0 if no calibration said. */
  readonly capacity: number
  readonly freeBytes: number
  readonly load: number
  readonly forecast?: NodeForecast
  readonly threshold?: { readonly load: number; readonly from: 'capacity' | 'usual' }
  /** Any number, in any order: the busiest are listed. */
  readonly shards: readonly ShardLoad[]
}

export interface NodeSample extends OwnLoad {
  readonly is: 'sample'
  /** Wall ms. */
  readonly at: number
  readonly sequence: Sequence
  /** When the next one is due, after this one. */
  readonly intervalMs: number
  /** Those left out of `shards` included. */
  readonly shardCount: number
}

export interface SummaryEntry {
  /** Short name of the node (groups.ts). */
  readonly name: number
  /** Of its sample, when the summary was made. */
  readonly ageMs: number
  readonly load: number
  readonly capacity: number
  readonly freeBytes: number
  /** High quantile an hour ahead, and the chance of an overload until then, if it forecasts. */
  readonly forecast?: { readonly q95: number; readonly chance: number }
}

/** What its author heard of the others of its group, and itself. */
export interface GroupSummary {
  readonly is: 'summary'
  readonly at: number
  readonly sequence: Sequence
  /** Of the hash that the author's group shares (groups.ts). */
  readonly bits: number
  /** Nodes of which the author knows something fresh; the entries may be fewer. */
  readonly heard: number
  readonly entries: readonly SummaryEntry[]
}

export type LoadMessage = NodeSample | GroupSummary

const KIND = { sample: 1, summary: 2 } as const
const THRESHOLDS = ['capacity', 'usual'] as const
const TENTH_MS = 100
const MAX_TENTHS = 0xffff

export function sampleBytes(shards: number): number {
  return SAMPLE_HEAD_BYTES + shards * SHARD_BYTES
}

export function summaryBytes(entries: number): number {
  return SUMMARY_HEAD_BYTES + entries * SUMMARY_ENTRY_BYTES
}

export function encodeLoadMessage(message: LoadMessage): Uint8Array {
  return message.is === 'sample' ? encodeSample(message) : encodeSummary(message)
}

/** Undefined if `bytes` are no message. Total. */
export function decodeLoadMessage(bytes: Uint8Array): LoadMessage | undefined {
  const reader = new LoadReader(bytes)
  const kind = bytes.length === 0 ? undefined : reader.uint(1)
  try {
    if (kind === KIND.sample) return decodeSample(reader)
    if (kind === KIND.summary) return decodeSummary(reader)
    return undefined
  } catch (error) {
    if (error instanceof Unreadable) return undefined
    throw error
  }
}

// -- samples

function encodeSample(sample: NodeSample): Uint8Array {
  const { shards, forecast, threshold } = sample
  assert(shards.length <= MAX_LISTED_SHARDS, 'a sample lists a bounded number of shards')
  assert(shards.length <= sample.shardCount, 'a sample counts the shards that it lists')
  const writer = new LoadWriter(sampleBytes(shards.length))
  writeHead(writer, KIND.sample, sample)
  writer.uint(tenths(sample.intervalMs), 2)
  for (const amount of [sample.capacity, sample.freeBytes, sample.load]) writer.log(amount)
  writer.log(threshold?.load ?? 0)
  writer.uint(threshold === undefined ? 0 : THRESHOLDS.indexOf(threshold.from) + 1, 1)
  for (const band of [forecast?.in15, forecast?.in60]) {
    for (const quantile of ['q50', 'q90', 'q95'] as const) writer.log(band?.[quantile] ?? 0)
  }
  writer.uint(toSkill(forecast?.skill ?? 0) & 0xff, 1)
  writer.uint(toPart(forecast?.chance), 1)
  writer.uint(Math.min(sample.shardCount, MAX_COUNT), 2)
  writer.uint(shards.length, 2)
  for (const shard of shards) writeShard(writer, shard)
  return writer.finish()
}

function writeShard(writer: LoadWriter, { volume, load, forecast }: ShardLoad): void {
  writer.volume(volume)
  writer.log(load)
  for (const band of [forecast?.in15, forecast?.in60]) {
    for (const quantile of ['q50', 'q95'] as const) writer.log(band?.[quantile] ?? 0)
  }
  writer.uint(toPart(forecast?.chance), 1)
}

function decodeSample(reader: LoadReader): NodeSample {
  const head = readHead(reader)
  const intervalMs = reader.uint(2) * TENTH_MS
  const capacity = reader.log()
  const freeBytes = reader.log()
  const load = reader.log()
  const limit = reader.log()
  const kind = reader.uint(1)
  const from = THRESHOLDS[kind - 1]
  if (kind > THRESHOLDS.length || (from === undefined && limit !== 0)) refuse()
  const in15 = readBand(reader)
  const in60 = readBand(reader)
  const skill = fromSkill((reader.uint(1) << 24) >> 24) ?? refuse()
  const chance = fromPart(reader.uint(1))
  if (chance === undefined && (in15.q95 !== 0 || in60.q95 !== 0 || skill !== 0)) refuse()
  const shardCount = reader.uint(2)
  const listed = reader.uint(2)
  if (listed > MAX_LISTED_SHARDS || listed > shardCount) refuse()
  reader.expect(listed * SHARD_BYTES)
  return {
    is: 'sample',
    ...head,
    intervalMs,
    capacity,
    freeBytes,
    load,
    ...(from === undefined ? {} : { threshold: { load: limit, from } }),
    ...(chance === undefined ? {} : { forecast: { in15, in60, skill, chance } }),
    shardCount,
    shards: Array.from({ length: listed }, () => readShard(reader))
  }
}

/** Quantiles out of order are no message. */
function readBand(reader: LoadReader): Band {
  const band = { q50: reader.log(), q90: reader.log(), q95: reader.log() }
  if (band.q50 > band.q90 || band.q90 > band.q95) refuse()
  return band
}

function readShard(reader: LoadReader): ShardLoad {
  const volume = reader.volume()
  const load = reader.log()
  const in15 = { q50: reader.log(), q95: reader.log() }
  const in60 = { q50: reader.log(), q95: reader.log() }
  const chance = fromPart(reader.uint(1))
  if (in15.q50 > in15.q95 || in60.q50 > in60.q95) refuse()
  if (chance !== undefined) return { volume, load, forecast: { in15, in60, chance } }
  if (in15.q95 !== 0 || in60.q95 !== 0) refuse()
  return { volume, load }
}

// -- summaries

function encodeSummary(summary: GroupSummary): Uint8Array {
  const { bits, entries } = summary
  assert(bits <= MAX_GROUP_BITS, 'a region is split a bounded number of times')
  assert(entries.length <= MAX_SUMMARY_ENTRIES, 'a summary has a bounded number of entries')
  const writer = new LoadWriter(summaryBytes(entries.length))
  writeHead(writer, KIND.summary, summary)
  writer.uint(bits, 1)
  writer.uint(Math.min(summary.heard, MAX_COUNT), 2)
  writer.uint(entries.length, 2)
  for (const entry of entries) {
    writer.uint(entry.name, 6)
    writer.uint(tenths(entry.ageMs), 2)
    writer.log(entry.load)
    writer.log(entry.forecast?.q95 ?? 0)
    writer.log(entry.capacity)
    writer.log(entry.freeBytes)
    writer.uint(toPart(entry.forecast?.chance), 1)
  }
  return writer.finish()
}

function decodeSummary(reader: LoadReader): GroupSummary {
  const head = readHead(reader)
  const bits = reader.uint(1)
  const heard = reader.uint(2)
  const listed = reader.uint(2)
  if (bits > MAX_GROUP_BITS || listed > MAX_SUMMARY_ENTRIES || listed > heard) refuse()
  reader.expect(listed * SUMMARY_ENTRY_BYTES)
  const entries = Array.from({ length: listed }, () => readEntry(reader))
  return { is: 'summary', ...head, bits, heard, entries }
}

function readEntry(reader: LoadReader): SummaryEntry {
  const name = reader.uint(6)
  const ageMs = reader.uint(2) * TENTH_MS
  const load = reader.log()
  const q95 = reader.log()
  const capacity = reader.log()
  const freeBytes = reader.log()
  const chance = fromPart(reader.uint(1))
  if (chance !== undefined) {
    return { name, ageMs, load, capacity, freeBytes, forecast: { q95, chance } }
  }
  if (q95 !== 0) refuse()
  return { name, ageMs, load, capacity, freeBytes }
}

// -- both

interface Head {
  readonly at: number
  readonly sequence: Sequence
}

function writeHead(writer: LoadWriter, kind: number, { at, sequence }: Head): void {
  writer.uint(kind, 1)
  writer.uint(at, 6)
  writer.uint(sequence.start, 4)
  writer.uint(sequence.number, 4)
}

function readHead(reader: LoadReader): Head {
  const at = reader.uint(6)
  return { at, sequence: { start: reader.uint(4), number: reader.uint(4) } }
}

function tenths(ms: number): number {
  return Math.min(MAX_TENTHS, Math.round(ms / TENTH_MS))
}
