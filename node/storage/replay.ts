/**
 * Reads the journal of an earlier start, in memory, before anything is changed.
 *
 *   records:   ok ok ok ok ok ok | torn ...        last proven sync: 4  -> cut after 6
 *   records:   ok ok XX ok ok ok | torn ...        last proven sync: 4  -> record 3 is lost data
 *
 * Invariants: what lies beyond the first unreadable record above the last proven sync never
 * happened (nobody was promised it); anything unreadable at or below that sync is reported: as
 * lost blocks if its head still says which, else as a gap, which is for the operator to accept.
 * Total: any bytes give a result.
 */
import { firstBadBlock } from '../../protocols/checksum.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { Kind, NO_CRCS, NO_DATA } from './change.ts'
import type { RecordHead, SegmentHead } from './record.ts'
import {
  decodeSegmentHead,
  RECORD_ALIGN_BYTES,
  RECORD_MAGIC,
  readRecordCrcs,
  readRecordHead,
  recordBytes,
  recordHeadBytes,
  SEGMENT_HEAD_BYTES
} from './record.ts'

export interface SegmentBytes {
  readonly number: number
  readonly bytes: Buffer
}

export interface ReplayRecord extends RecordHead {
  readonly crcs: Uint32Array
  readonly data: Uint8Array
  /** Its head is whole and the rest is not. */
  readonly isDamaged: boolean
}

export interface Replay {
  /** In order, above the checkpoint, cut at the end of what happened. */
  readonly records: ReplayRecord[]
  /** The last sync that is proven; at least the checkpoint. */
  readonly provenLsn: number
  /** Lsns [from, to) at or below the proven sync of which not even the heads are left. */
  readonly gaps: ReadonlyArray<{ readonly from: number; readonly to: number }>
  /** Segments whose head is damaged although they hold records. */
  readonly badSegments: readonly number[]
  readonly unknownFormat: boolean
  readonly greatestIncarnation: number
}

interface ScannedSegment {
  readonly head: SegmentHead
  readonly records: ReplayRecord[]
}

/** Segments in ascending order of their numbers. */
export function replayJournal(
  segments: readonly SegmentBytes[],
  checkpointLsn: number,
  rootProvenLsn: number
): Replay {
  const scanned: ScannedSegment[] = []
  const badSegments: number[] = []
  let unknownFormat = false
  for (const { number, bytes } of segments) {
    const head = decodeSegmentHead(bytes)
    if (head === 'format') unknownFormat = true
    else if (head !== undefined && head.number === number) {
      scanned.push({ head, records: scanSegment(bytes, head) })
    } else if (bytes.length > SEGMENT_HEAD_BYTES) badSegments.push(number)
  }
  const valid = dropVoid(scanned)
  const provenLsn = greatestProven(valid, Math.max(checkpointLsn, rootProvenLsn))
  const { records, gaps } = joinRecords(valid, checkpointLsn, provenLsn)
  const greatestIncarnation = Math.max(0, ...scanned.map(one => one.head.incarnation))
  return { records, provenLsn, gaps, badSegments, unknownFormat, greatestIncarnation }
}

/** Every record of the segment that has a whole head, even beyond damage. */
function scanSegment(bytes: Buffer, head: SegmentHead): ReplayRecord[] {
  const records: ReplayRecord[] = []
  let at = SEGMENT_HEAD_BYTES
  let lastLsn = head.startLsn - 1
  while (at + SEGMENT_HEAD_BYTES <= bytes.length) {
    const found = readRecordHead(bytes, at, head.nonce)
    if (found === undefined || found.lsn <= lastLsn) {
      at = nextMagic(bytes, at + RECORD_ALIGN_BYTES)
      continue
    }
    lastLsn = found.lsn
    records.push(readRecord(bytes, at, found))
    at += recordBytes(found.kind, found.count)
  }
  return records
}

function nextMagic(bytes: Buffer, from: number): number {
  let at = from
  while (at + 4 <= bytes.length && bytes.readUInt32LE(at) !== RECORD_MAGIC) at += RECORD_ALIGN_BYTES
  return at
}

function readRecord(bytes: Buffer, at: number, head: RecordHead): ReplayRecord {
  const damaged = { ...head, crcs: NO_CRCS, data: NO_DATA, isDamaged: true }
  const crcs = readRecordCrcs(bytes, at, head)
  if (crcs === undefined) return damaged
  if (head.kind !== Kind.write) return { ...head, crcs, data: NO_DATA, isDamaged: false }
  const start = at + recordHeadBytes(head.kind, head.count)
  const end = start + head.count * BLOCK_BYTES
  if (end > bytes.length) return damaged
  const data = bytes.subarray(start, end)
  if (firstBadBlock(data, crcs) !== -1) return damaged
  return { ...head, crcs, data, isDamaged: false }
}

/** A later segment voids what older ones hold from its start lsn on. */
function dropVoid(scanned: readonly ScannedSegment[]): ScannedSegment[] {
  let bound = Number.POSITIVE_INFINITY
  const valid: ScannedSegment[] = []
  for (const { head, records } of scanned.toReversed()) {
    const end = bound
    valid.unshift({ head, records: records.filter(record => record.lsn < end) })
    bound = Math.min(bound, head.startLsn)
  }
  return valid
}

function greatestProven(segments: readonly ScannedSegment[], atLeast: number): number {
  let proven = atLeast
  for (const { head, records } of segments) {
    proven = Math.max(proven, head.provenLsn)
    for (const record of records) proven = Math.max(proven, record.provenLsn)
  }
  return proven
}

function joinRecords(
  segments: readonly ScannedSegment[],
  checkpointLsn: number,
  provenLsn: number
): Pick<Replay, 'records' | 'gaps'> {
  const records: ReplayRecord[] = []
  const gaps: Array<{ from: number; to: number }> = []
  let next = checkpointLsn + 1
  for (const record of segments.flatMap(segment => segment.records)) {
    if (record.lsn < next) continue
    if (record.lsn > next) {
      if (next > provenLsn) break
      gaps.push({ from: next, to: Math.min(record.lsn, provenLsn + 1) })
      if (record.lsn > provenLsn + 1) break
    }
    if (record.isDamaged && record.lsn > provenLsn) return { records, gaps }
    records.push(record)
    next = record.lsn + 1
  }
  if (next <= provenLsn && !gaps.some(gap => gap.to > provenLsn)) {
    gaps.push({ from: next, to: provenLsn + 1 })
  }
  return { records, gaps }
}
