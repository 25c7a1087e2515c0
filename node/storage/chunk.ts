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
import type { Change } from './change.ts'
import type { OpenFile } from './files.ts'
import type { ShardState } from './shards.ts'
import type { Table } from './table.ts'

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
    this.path = `${shard.path}/${key.extent}.${key.generation}.${key.column}.${key.replica}`
    this.isListed = listed !== undefined
    this.listedBlocks = listed?.allocatedBlocks ?? 0
    this.allocatedBlocks = this.listedBlocks
  }

  get isIdle(): boolean {
    const isQuiet = this.#readers.count === 0 && this.#leaving === 0 && this.loading === undefined
    return isQuiet && this.latest.size === 0 && !this.isDirty && !this.isSaving
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

  sameKey(key: ChunkKey): boolean {
    const mine = this.key
    return (
      mine.extent === key.extent &&
      mine.generation === key.generation &&
      mine.column === key.column &&
      mine.replica === key.replica
    )
  }
}
