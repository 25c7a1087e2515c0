/**
 * One chunk in memory: its overlay (changes not applied yet), its table, and its readers.
 *
 * Invariants:
 * - `latest` names for each block the last change that was called and is not applied; a block
 *   without one is what table and file say;
 * - the file and the table of a block change only while the block is in `latest`, and only after
 *   every read that began before has ended (`quiesced`). So a read that looks at `latest` once,
 *   in the tick of its call, sees exactly the changes that were called before it. The one
 *   exception is a bypass: it writes to holes, which no read looks for in the file.
 */
import type { ChunkKey } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import type { Change } from './change.ts'
import type { OpenFile } from './files.ts'
import type { Reservation } from './reservations.ts'
import type { ShardState } from './shards.ts'
import { BlockState, type Table } from './table.ts'

export interface ReaderGroup {
  count: number
  wake: (() => void) | undefined
}

export class Chunk {
  readonly key: ChunkKey
  readonly shard: ShardState
  /** Without the ending: `.data` and `.sum` stand beside each other. */
  readonly path: string
  readonly latest = new Map<number, Change>()
  table: Table | undefined
  loading: Promise<Table> | undefined
  /** In the durable manifest: has a durable table and file. */
  isListed: boolean
  /** Data blocks when its table was last made durable: what the manifest says. */
  listedBlocks: number
  /** Data blocks by the table; kept while the table is not loaded. */
  allocatedBlocks: number
  /** Blocks that changes on their way may add. */
  pendingBlocks = 0
  /** Room kept free for it while it is on its way here. */
  reservation: Reservation | undefined
  /** The last lsn that was applied to it. */
  appliedLsn = 0
  /** Changed since the table was last written by a checkpoint. */
  isDirty = false
  /** A checkpoint is writing the table: it must not be loaded again from its old file. */
  isSaving = false
  /** For the choice of what to unload. */
  lastUsed = 0
  /** Head of this chunk's journal records, filled by the journal. */
  recordHead: Buffer | undefined
  /** Kept by files.ts. */
  open: OpenFile | undefined
  opening: Promise<OpenFile> | undefined
  #readers: ReaderGroup = { count: 0, wake: undefined }
  #leaving = 0

  constructor(shard: ShardState, key: ChunkKey, listed?: { allocatedBlocks: number }) {
    this.shard = shard
    this.key = key
    this.path = `${shard.path}/${placeOf(key)}`
    this.isListed = listed !== undefined
    this.listedBlocks = listed?.allocatedBlocks ?? 0
    this.allocatedBlocks = this.listedBlocks
  }

  get isIdle(): boolean {
    const isQuiet = this.#readers.count === 0 && this.#leaving === 0 && this.loading === undefined
    return isQuiet && this.latest.size === 0 && !this.isDirty && !this.isSaving
  }

  /**
   * Every block is a hole, and nothing is on its way: whatever its file contains, no read looks for
   * it there. A table that was damaged calls the blocks lost that it does not know: not empty.
   */
  get isEmpty(): boolean {
    const { table, latest, loading } = this
    if (table === undefined || latest.size > 0 || loading !== undefined) return false
    return table.allocated === 0 && table.isAllHole(0, this.boundBlocks)
  }

  /** No block at or beyond this one is anything but a hole; all that there may be, if unknown. */
  get boundBlocks(): number {
    const { table, shard } = this
    let bound = Math.max(1, table?.blocks ?? 0)
    if (table === undefined || table.beyond !== BlockState.hole) {
      bound = Math.max(bound, Math.ceil(shard.record.spec.extentBytes / BLOCK_BYTES))
    }
    for (const block of this.latest.keys()) bound = Math.max(bound, block + 1)
    return bound
  }

  /** Changes on their way may add so many blocks more (or fewer). */
  expect(blocks: number): void {
    this.pendingBlocks += blocks
    this.shard.pendingBlocks += blocks
    this.noteUse()
  }

  /** What it has or was promised changed. */
  noteUse(): void {
    this.reservation?.use(this.allocatedBlocks + this.pendingBlocks)
  }

  /** From now until `endRead`, nothing this reader may look for is changed below it. */
  beginRead(): ReaderGroup {
    this.#readers.count++
    return this.#readers
  }

  endRead(group: ReaderGroup): void {
    group.count--
    if (group.count === 0) group.wake?.()
  }

  /** Resolves when every read that began before the call has ended. One caller at a time. */
  quiesced(): Promise<void> | undefined {
    const group = this.#readers
    if (group.count === 0) return undefined
    this.#readers = { count: 0, wake: undefined }
    this.#leaving++
    return new Promise(resolve => {
      group.wake = () => {
        this.#leaving--
        resolve()
      }
    })
  }

  sameKey(key: Omit<ChunkKey, 'volume'>): boolean {
    const mine = this.key
    return (
      mine.extent === key.extent &&
      mine.generation === key.generation &&
      mine.column === key.column &&
      mine.replica === key.replica
    )
  }
}

/** Which chunk of its shard: the names of its files, less their endings. */
export function placeOf({ extent, generation, column, replica }: Omit<ChunkKey, 'volume'>): string {
  return `${extent}.${generation}.${column}.${replica}`
}
