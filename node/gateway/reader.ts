/**
 * Reads and block status of an attachment: one request per chunk and stretch, put together again in
 * the order of the volume. Read data is never copied: the parts are views of what arrived.
 */
import { assert } from '../../protocols/assert.ts'
import type { ChunkKey, PlacementEpoch } from '../../protocols/ids.ts'
import { BLOCK_BYTES, MAX_COLUMNS, MAX_IO_BYTES } from '../../protocols/limits.ts'
import {
  type ColumnRange,
  columnRanges,
  locate,
  type Place,
  split
} from '../../protocols/stripe/map.ts'
import type { DeviceExtent } from '../block-device.ts'
import { STATUS_SPAN_BYTES } from '../limits.ts'
import { type JobOwner, QueryJob } from './job.ts'
import type { Links } from './links.ts'
import { MapRequest, ReadRequest } from './read-request.ts'
import { type LinkRequest, NO_DATA } from './request.ts'
import { RunCursor } from './run-cursor.ts'

const NO_RUNS = new Uint32Array(0)

export class Reader {
  readonly #links: Links
  readonly #owner: JobOwner

  constructor(links: Links, owner: JobOwner) {
    this.#links = links
    this.#owner = owner
  }

  read(offset: number, length: number): Promise<Uint8Array[]> {
    const from = Math.floor(offset / BLOCK_BYTES) * BLOCK_BYTES
    const to = Math.ceil((offset + length) / BLOCK_BYTES) * BLOCK_BYTES
    return this.#isOnePiece(from, to)
      ? this.#readPiece(offset, length, from, to)
      : this.#readRanges(offset, length, from, to)
  }

  /** Where data is and where holes are, from `offset` on, for at most STATUS_SPAN_BYTES. */
  status(offset: number, length: number): Promise<DeviceExtent[]> {
    const { spec, sizeBytes } = this.#links.layout
    const end = Math.min(offset + length, offset + STATUS_SPAN_BYTES)
    const from = Math.floor(offset / BLOCK_BYTES) * BLOCK_BYTES
    const to = Math.ceil(end / BLOCK_BYTES) * BLOCK_BYTES
    const ranges = columnRanges(spec, sizeBytes, from, to - from).flatMap(chop)
    return new Promise((resolve, reject) => {
      const done = (results: readonly Uint32Array[]): void => {
        resolve(clip(this.#joinRuns(ranges, results, from, to), offset - from, end - offset))
      }
      const job = new QueryJob<Uint32Array>(this.#owner, ranges.length, done, reject)
      this.#askAll(ranges, job, MapRequest)
    })
  }

  #isOnePiece(from: number, to: number): boolean {
    if (to - from > MAX_IO_BYTES) return false
    const { extentBytes, stripeUnitBytes, columns } = this.#links.layout.spec
    const bytes = columns === 1 ? extentBytes : stripeUnitBytes
    return Math.floor(from / bytes) === Math.floor((to - 1) / bytes)
  }

  #readPiece(offset: number, length: number, from: number, to: number): Promise<Uint8Array[]> {
    return new Promise((resolve, reject) => {
      const skip = offset - from
      const done = ([data = NO_DATA]: readonly Uint8Array[]): void => {
        resolve([data.length === length ? data : data.subarray(skip, skip + length)])
      }
      const job = new QueryJob<Uint8Array>(this.#owner, 1, done, reject)
      const place = locate(this.#links.layout.spec, from)
      try {
        this.#ask(place, to - from, 0, job, ReadRequest)
      } catch (error) {
        job.partFailed(error as Error)
      }
    })
  }

  #readRanges(offset: number, length: number, from: number, to: number): Promise<Uint8Array[]> {
    const { spec, sizeBytes } = this.#links.layout
    const windows: Window[] = []
    for (let at = from; at < to; at += MAX_IO_BYTES) {
      const stop = Math.min(to, at + MAX_IO_BYTES)
      windows.push({ from: at, to: stop, ranges: columnRanges(spec, sizeBytes, at, stop - at) })
    }
    const ranges = windows.flatMap(window => window.ranges)
    return new Promise((resolve, reject) => {
      const done = (results: readonly Uint8Array[]): void => {
        const parts: Uint8Array[] = []
        let first = 0
        for (const window of windows) {
          const mine = results.slice(first, first + window.ranges.length)
          first += window.ranges.length
          this.#interleave(window, mine, parts)
        }
        resolve(trimEnds(parts, offset - from, length))
      }
      const job = new QueryJob<Uint8Array>(this.#owner, ranges.length, done, reject)
      this.#askAll(ranges, job, ReadRequest)
    })
  }

  #askAll<T>(ranges: readonly ColumnRange[], job: QueryJob<T>, kind: Kind<T>): void {
    try {
      ranges.forEach((range, i) => {
        this.#ask(range, range.length, i, job, kind)
      })
    } catch (error) {
      job.partFailed(error as Error)
    }
  }

  #ask<T>(
    { extent, column, chunkOffset }: Place,
    length: number,
    index: number,
    job: QueryJob<T>,
    kind: Kind<T>
  ): void {
    const { layout, clock } = this.#links
    const segment = layout.segment(extent, column)
    const chunk = layout.chunk(extent, column)
    const now = clock.monotonicMs()
    const request = new kind(chunk, segment.epoch, chunkOffset, length, now, job, index)
    request.link = this.#links.of(segment)
    request.link.submit(request)
  }

  /** Appends to `parts` the pieces of [from, to), in volume order. */
  #interleave(window: Window, results: readonly Uint8Array[], parts: Uint8Array[]): void {
    const { spec, sizeBytes } = this.#links.layout
    const { from, to, ranges } = window
    const indexes = new Map(ranges.map(({ extent, column }, i) => [nameOf(extent, column), i]))
    for (const piece of split(spec, sizeBytes, from, to - from)) {
      const index = indexes.get(nameOf(piece.extent, piece.column)) ?? -1
      const range = ranges[index]
      const data = results[index]
      assert(range !== undefined && data !== undefined, 'every piece lies in a range that was read')
      const at = piece.chunkOffset - range.chunkOffset
      parts.push(data.subarray(at, at + piece.length))
    }
  }

  #joinRuns(
    ranges: readonly ColumnRange[],
    results: readonly Uint32Array[],
    from: number,
    to: number
  ): DeviceExtent[] {
    const cursors = new Map<number, RunCursor>()
    ranges.forEach(({ extent, column }, i) => {
      const name = nameOf(extent, column)
      const cursor = cursors.get(name) ?? new RunCursor()
      cursors.set(name, cursor)
      cursor.add(results[i] ?? NO_RUNS)
    })
    const { spec, sizeBytes } = this.#links.layout
    const extents: DeviceExtent[] = []
    for (const piece of split(spec, sizeBytes, from, to - from)) {
      const cursor = cursors.get(nameOf(piece.extent, piece.column))
      assert(cursor !== undefined, 'every piece lies in a range that was asked')
      cursor.take(piece.length, extents)
    }
    return extents
  }
}

interface Window {
  readonly from: number
  readonly to: number
  readonly ranges: readonly ColumnRange[]
}

type Kind<T> = new (
  chunk: ChunkKey,
  epoch: PlacementEpoch,
  offsetBytes: number,
  lengthBytes: number,
  startedAt: number,
  sink: QueryJob<T>,
  index: number
) => LinkRequest

/** A name of a chunk among those of one request. */
function nameOf(extent: number, column: number): number {
  return extent * MAX_COLUMNS + column
}

/** Requests of at most MAX_IO_BYTES. */
function chop(range: ColumnRange): ColumnRange[] {
  const parts: ColumnRange[] = []
  for (let at = 0; at < range.length; at += MAX_IO_BYTES) {
    const length = Math.min(MAX_IO_BYTES, range.length - at)
    parts.push({ ...range, chunkOffset: range.chunkOffset + at, length })
  }
  return parts
}

/** The bytes [skip, skip + length) of the parts laid end to end. */
function trimEnds(parts: readonly Uint8Array[], skip: number, length: number): Uint8Array[] {
  const kept: Uint8Array[] = []
  let at = 0
  for (const part of parts) {
    const from = Math.max(0, skip - at)
    const to = Math.min(part.length, skip + length - at)
    if (to > from) kept.push(to - from === part.length ? part : part.subarray(from, to))
    at += part.length
  }
  return kept
}

/** The same for extents. */
function clip(extents: readonly DeviceExtent[], skip: number, length: number): DeviceExtent[] {
  const kept: DeviceExtent[] = []
  let at = 0
  for (const { lengthBytes, hole } of extents) {
    const from = Math.max(at, skip)
    const to = Math.min(at + lengthBytes, skip + length)
    if (to > from) kept.push({ lengthBytes: to - from, hole })
    at += lengthBytes
  }
  return kept
}
