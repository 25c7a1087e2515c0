/** A piece of history as it travels: its encoding (protocols/load/history.ts), raw DEFLATE. */
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { decodePiece, encodePiece, type HistoryPiece } from '../../protocols/load/history.ts'
import { MAX_PIECE_BYTES } from '../../protocols/load/limits.ts'

/** The level beyond which a piece gets little smaller, and takes much longer. */
const LEVEL = 6

export function packPiece(piece: HistoryPiece): Buffer {
  return deflateRawSync(encodePiece(piece), { level: LEVEL })
}

/** Undefined: these bytes are no piece. */
export function unpackPiece(bytes: Uint8Array): HistoryPiece | undefined {
  if (bytes.length > MAX_PIECE_BYTES) return undefined
  try {
    return decodePiece(inflateRawSync(bytes, { maxOutputLength: MAX_PIECE_BYTES }))
  } catch {
    return undefined
  }
}
