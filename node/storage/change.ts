/**
 * One change of a chunk on its way: called -> journaled (lsn; answered) -> synced -> applied.
 *
 *   write    its data is in the journal
 *   bypass   its data is in the chunk file already; the journal only knows of it
 *   trim     the blocks become holes        zero   the blocks become data, all zeroes
 *   lost     only made by recovery: the journal knew of data that is damaged
 *   mark     no change at all: carries a newer `proven` into the journal
 */
import type { Chunk } from './chunk.ts'

export const Kind = { write: 1, bypass: 2, trim: 3, zero: 4, mark: 5, lost: 6 } as const
export type Kind = (typeof Kind)[keyof typeof Kind]

export const NO_DATA: Uint8Array = new Uint8Array(0)
export const NO_CRCS: Uint32Array = new Uint32Array(0)

export interface Change {
  readonly kind: Kind
  /** Undefined for a mark only. */
  readonly chunk: Chunk | undefined
  readonly first: number
  readonly count: number
  readonly crcs: Uint32Array
  /** write: the blocks. bypass: the blocks until they are in the file, then empty. */
  data: Uint8Array
  /** 0 until it is in the journal. */
  lsn: number
  /** Blocks that it may newly allocate; undefined: not known before the table is loaded. */
  newBlocks: number | undefined
  isApplied: boolean
  /** bypass: its data is still on the way to the chunk file. */
  writing: Promise<void> | undefined
  resolve: () => void
  reject: (error: Error) => void
}

export function covers(change: Change, block: number): boolean {
  return block >= change.first && block < change.first + change.count
}

/** Not a change: carries the last sync into the journal, or the checkpoint to an lsn. */
export function markAt(lsn: number): Change {
  return {
    kind: Kind.mark,
    chunk: undefined,
    first: 0,
    count: 0,
    crcs: NO_CRCS,
    data: NO_DATA,
    lsn,
    newBlocks: 0,
    isApplied: false,
    writing: undefined,
    resolve: () => {},
    reject: () => {}
  }
}
