/**
 * Pieces of history that were taken here and have not arrived yet: a file each, beside the series.
 *
 *   <id>.piece   CBOR { key, to, piece }, written before the history is taken off
 *
 * Invariants: at most MAX_UNDELIVERED_PIECES, the oldest id in the list goes; a file that is not one
 * is removed: what it was to say is lost, and a piece is not worth more.
 */
import { z } from 'zod'
import { decodeCbor, encodeCbor } from '../../protocols/cbor.ts'
import { isHandoffId, isNodeId, isVolumeId } from '../../protocols/ids.ts'
import { MAX_PACKED_PIECE_BYTES } from '../../protocols/load/limits.ts'
import { MAX_UNDELIVERED_PIECES } from '../limits.ts'
import type { PieceOnItsWay } from './keeper-messages.ts'
import type { SeriesFiles } from './series-files.ts'

const SUFFIX = '.piece'

const schema = z.strictObject({
  key: z.string().refine(isVolumeId),
  to: z.string().refine(isNodeId),
  piece: z.custom<Uint8Array>(
    value => value instanceof Uint8Array && value.length <= MAX_PACKED_PIECE_BYTES
  )
})

export class Outbox {
  readonly #files: SeriesFiles

  constructor(files: SeriesFiles) {
    this.#files = files
  }

  put({ id, ...rest }: PieceOnItsWay): void {
    const names = this.#names()
    const tooMany = Math.max(0, names.length - MAX_UNDELIVERED_PIECES + 1)
    for (const oldest of names.slice(0, tooMany)) {
      this.#files.remove(oldest)
    }
    this.#files.write(id + SUFFIX, encodeCbor(rest), 0)
    // What is taken off next is synced: this must not be lost alone.
    this.#files.sync(id + SUFFIX)
  }

  remove(id: string): void {
    if (isHandoffId(id)) this.#files.remove(id + SUFFIX)
  }

  all(): PieceOnItsWay[] {
    return this.#names().flatMap(name => {
      const id = name.slice(0, -SUFFIX.length)
      const parsed = schema.safeParse(decodeCbor(this.#read(name))?.value)
      if (parsed.success && isHandoffId(id)) return [{ id, ...parsed.data }]
      this.#files.remove(name)
      return []
    })
  }

  #names(): string[] {
    return this.#files.list().filter(name => name.endsWith(SUFFIX))
  }

  #read(name: string): Uint8Array {
    const bytes = new Uint8Array(Math.min(this.#files.size(name), 2 * MAX_PACKED_PIECE_BYTES))
    return bytes.subarray(0, this.#files.read(name, bytes, 0))
  }
}
