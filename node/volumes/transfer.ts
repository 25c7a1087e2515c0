/**
 * Import and export of a volume's bytes: a pipe from a raw image to a block device, and back.
 *
 *   import   image -> digest -> write what is not zero, 8 at a time -> progress -> flush
 *   export   holes of the device -> read what is data, 8 at a time -> digest, write -> progress
 *
 * Invariants: memory is bounded by the pieces in flight; zeroes are never written to a hole; the
 * digest covers every byte of the image in order, holes included.
 */
import { createHash, type Hash } from 'node:crypto'
import { pipe } from 'it-pipe'
import { ShoalError } from '../../protocols/fault.ts'
import { formatSize } from '../../protocols/layout/sizes.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import type { BlockDevice } from '../block-device.ts'
import {
  MAX_TRANSFER_PIECES,
  TRANSFER_FLUSH_BYTES,
  TRANSFER_MAP_BYTES,
  TRANSFER_PIECE_BYTES
} from '../limits.ts'
import { orderedConcurrently } from './concurrency.ts'
import type { ImageSource, ImageTarget } from './image.ts'
import type { TransferOptions, TransferResult } from './types.ts'

export type Transferred = Omit<TransferResult, 'volume'>

const ZEROES = new Uint8Array(TRANSFER_PIECE_BYTES)
const NO_FUA = { fua: false } as const

/** A range of a device, with its bytes unless it is a hole. */
interface Piece {
  readonly offset: number
  readonly length: number
  readonly parts: readonly Uint8Array[]
}

/** The device then reads as the image, and as zeroes behind its end. All is durable. */
export async function importImage(
  device: BlockDevice,
  source: ImageSource,
  options: TransferOptions
): Promise<Transferred> {
  await emptyDevice(device, options.signal)
  const hash = createHash('sha256')
  let doneBytes = 0
  let dataBytes = 0
  let unflushedBytes = 0
  await pipe(
    source.pieces(),
    pieces => place(pieces, device.sizeBytes(), options.signal),
    pieces => digested(pieces, hash),
    pieces =>
      orderedConcurrently(pieces, MAX_TRANSFER_PIECES, async piece => ({
        length: piece.length,
        written: await writeData(device, piece)
      })),
    async results => {
      for await (const { length, written } of results) {
        doneBytes += length
        dataBytes += written
        unflushedBytes += written
        if (unflushedBytes >= TRANSFER_FLUSH_BYTES) {
          unflushedBytes = 0
          await device.flush()
        }
        options.onProgress({ doneBytes, totalBytes: source.sizeBytes, dataBytes })
      }
    }
  )
  await device.flush()
  return { bytes: doneBytes, dataBytes, sha256: hash.digest('hex') }
}

/** Gives back whatever the device holds; costs nothing on a new volume. */
async function emptyDevice(device: BlockDevice, signal: AbortSignal): Promise<void> {
  for await (const { offset, length, isHole } of extentsOf(device, signal)) {
    if (!isHole) await device.zero(offset, length, { fua: false, allocate: false })
  }
}

async function* place(
  pieces: AsyncIterable<Uint8Array>,
  sizeBytes: number,
  signal: AbortSignal
): AsyncGenerator<Piece> {
  let offset = 0
  for await (const bytes of pieces) {
    signal.throwIfAborted()
    if (offset + bytes.length > sizeBytes) {
      throw new ShoalError(
        { code: 'OUT_OF_RANGE' },
        `the image is longer than the volume (${formatSize(sizeBytes)}): resize the volume first`
      )
    }
    yield { offset, length: bytes.length, parts: [bytes] }
    offset += bytes.length
  }
}

/** Writes the runs of blocks that are not zero; answers their bytes. */
async function writeData(device: BlockDevice, piece: Piece): Promise<number> {
  const [bytes] = piece.parts
  if (bytes === undefined) return 0
  const runs = dataRuns(bytes)
  await Promise.all(
    runs.map(({ from, to }) => device.write(piece.offset + from, bytes.subarray(from, to), NO_FUA))
  )
  return runs.reduce((sum, run) => sum + run.to - run.from, 0)
}

/** The maximal runs of 4 KiB blocks with a byte other than zero, in bytes of `piece`. */
export function dataRuns(piece: Uint8Array): Array<{ from: number; to: number }> {
  const runs: Array<{ from: number; to: number }> = []
  for (let from = 0; from < piece.length; from += BLOCK_BYTES) {
    const to = Math.min(piece.length, from + BLOCK_BYTES)
    if (isZero(piece, from, to)) continue
    const last = runs.at(-1)
    if (last?.to === from) last.to = to
    else runs.push({ from, to })
  }
  return runs
}

function isZero(bytes: Uint8Array, from: number, to: number): boolean {
  return Buffer.compare(bytes.subarray(from, to), ZEROES.subarray(0, to - from)) === 0
}

/** Writes the device's bytes to the image; the caller finishes or abandons it. */
export async function exportImage(
  device: BlockDevice,
  target: ImageTarget,
  options: TransferOptions
): Promise<Transferred> {
  const hash = createHash('sha256')
  const totalBytes = device.sizeBytes()
  let doneBytes = 0
  let dataBytes = 0
  await pipe(
    piecesOf(device, options.signal),
    pieces => orderedConcurrently(pieces, MAX_TRANSFER_PIECES, piece => readPiece(device, piece)),
    pieces => digested(pieces, hash),
    async pieces => {
      for await (const { offset, length, parts } of pieces) {
        if (parts.length > 0) {
          await target.write(parts, offset)
          dataBytes += length
        }
        doneBytes += length
        options.onProgress({ doneBytes, totalBytes, dataBytes })
      }
    }
  )
  return { bytes: doneBytes, dataBytes, sha256: hash.digest('hex') }
}

type Extent = { offset: number; length: number; isHole: boolean }

async function* extentsOf(device: BlockDevice, signal: AbortSignal): AsyncGenerator<Extent> {
  const sizeBytes = device.sizeBytes()
  for (let offset = 0; offset < sizeBytes; ) {
    signal.throwIfAborted()
    const wanted = Math.min(TRANSFER_MAP_BYTES, sizeBytes - offset)
    for (const { lengthBytes, hole } of await device.status(offset, wanted)) {
      yield { offset, length: lengthBytes, isHole: hole }
      offset += lengthBytes
    }
  }
}

async function* piecesOf(device: BlockDevice, signal: AbortSignal): AsyncGenerator<Extent> {
  for await (const extent of extentsOf(device, signal)) {
    const end = extent.offset + extent.length
    for (let offset = extent.offset; offset < end; ) {
      signal.throwIfAborted()
      const length = Math.min(TRANSFER_PIECE_BYTES, end - offset)
      yield { offset, length, isHole: extent.isHole }
      offset += length
    }
  }
}

async function readPiece(device: BlockDevice, extent: Extent): Promise<Piece> {
  const { offset, length, isHole } = extent
  return { offset, length, parts: isHole ? [] : await device.read(offset, length) }
}

async function* digested(pieces: AsyncIterable<Piece>, hash: Hash): AsyncGenerator<Piece> {
  for await (const piece of pieces) {
    if (piece.parts.length === 0) hash.update(ZEROES.subarray(0, piece.length))
    for (const part of piece.parts) hash.update(part)
    yield piece
  }
}
