/**
 * The ChunkStore port in memory, for fast tests of everything above storage. It keeps the promises
 * of node/storage/types.ts: effects in the order of the calls, a change that resolved survives the
 * death of the process, one that was flushed survives loss of power, and nothing more than that.
 *
 *   call --> live (seen by reads) --resolves--> unsynced --flush--> durable
 *
 * A MemoryMedium outlives its stores: open one again after `crash` or `losePower` for the next
 * incarnation. `hold` and `release` decide when promises settle.
 */
import { BlockState } from '../../node/storage/table.ts'
import type {
  ChunkBlocks,
  ChunkStore,
  ReadResult,
  ShardRecord,
  StoreSpace
} from '../../node/storage/types.ts'
import { checksum, ZERO_BLOCK_CRC } from '../../protocols/checksum.ts'
import { chunkDigest } from '../../protocols/digest.ts'
import { type FaultCode, ShoalError } from '../../protocols/fault.ts'
import { isEmpty } from '../../protocols/handoff/records.ts'
import type { ChunkKey, Incarnation, Nonce, Token, VolumeId } from '../../protocols/ids.ts'
import { chunkName } from '../../protocols/ids.ts'
import { BLOCK_BYTES, GiB } from '../../protocols/limits.ts'

interface Block {
  data: Uint8Array
  crc: number
}
type Blocks = Map<number, Block>

interface Change {
  readonly volume: VolumeId
  readonly name: string
  readonly first: number
  /** undefined: given back. All of the chunk: 'free'. */
  readonly blocks: ReadonlyArray<Block | undefined> | 'free'
  isResolved: boolean
}

const ZEROES = Buffer.alloc(BLOCK_BYTES)

/** What is on the disk: with the OS (`live`) and safe against loss of power (`durable`). */
export class MemoryMedium {
  capacityBytes = GiB
  incarnations = 0
  live = new Map<string, Blocks>()
  durable = new Map<string, Blocks>()
  /** In the order of the calls; a flush empties what had resolved before it. */
  unsynced = new Set<Change>()
  readonly records = new Map<VolumeId, ShardRecord>()
  readonly removed = new Map<VolumeId, Token>()

  /** The host loses power: of the unflushed changes only the first `kept` are still there. */
  losePower(kept = 0): void {
    for (const change of [...this.unsynced].slice(0, kept)) apply(this.durable, change)
    this.unsynced.clear()
    this.live = new Map([...this.durable].map(([name, blocks]) => [name, new Map(blocks)]))
  }

  /** The process dies: what had not resolved may be gone, and here it is. */
  crash(): void {
    const kept = [...this.unsynced].filter(change => change.isResolved)
    this.losePower()
    for (const change of kept) {
      apply(this.live, change)
      this.unsynced.add(change)
    }
  }

  /** Whether any chunk of the volume exists, or would after a loss of power. */
  keeps(volume: VolumeId): boolean {
    const names = [...this.live.keys(), ...this.durable.keys()]
    return names.some(name => name.startsWith(`${volume}/`))
  }

  drop(volume: VolumeId): void {
    for (const blocks of [this.live, this.durable]) {
      for (const name of blocks.keys()) if (name.startsWith(`${volume}/`)) blocks.delete(name)
    }
    for (const change of this.unsynced) {
      if (change.volume === volume) this.unsynced.delete(change)
    }
  }
}

export class MemoryChunkStore implements ChunkStore {
  readonly incarnation: Incarnation
  failure: Error | undefined
  readonly #medium: MemoryMedium
  readonly #listeners: Array<(error: Error) => void> = []
  readonly #faults: Array<{ call: string; code: FaultCode }> = []
  #held: Array<{ call: keyof ChunkStore; settle: () => void }> | undefined
  /** Names of the calls, in their order, while someone records them. */
  calls: string[] | undefined

  constructor(medium = new MemoryMedium()) {
    this.#medium = medium
    medium.incarnations += 1
    const nonce = medium.incarnations.toString(16).padStart(16, '0') as Nonce
    this.incarnation = { number: medium.incarnations, nonce }
  }

  /** From now on nothing settles until `release`. */
  hold(): void {
    this.#held ??= []
  }

  /** Settles the oldest `count` calls, or all and every one to come. */
  release(count?: number): void {
    const held = this.#held ?? []
    if (count === undefined) this.#held = undefined
    for (const { settle } of held.splice(0, count ?? held.length)) settle()
  }

  /** Settles the held calls of one name, and holds the others on. */
  releaseOnly(call: keyof ChunkStore): void {
    const held = this.#held ?? []
    this.#held = held.filter(one => one.call !== call)
    for (const one of held) if (one.call === call) one.settle()
  }

  get heldCalls(): number {
    return this.#held?.length ?? 0
  }

  /** The next call of this name rejects, and has no effect. */
  failNext(call: keyof ChunkStore, code: FaultCode): void {
    this.#faults.push({ call, code })
  }

  /** The disk failed for good. */
  fail(error: Error): void {
    this.failure = error
    for (const listener of this.#listeners) listener(error)
  }

  /** One byte of the block turns over on the disk. */
  rot(chunk: ChunkKey, block: number): void {
    const blocks = this.#medium.live.get(chunkName(chunk))
    const found = blocks?.get(block)
    if (blocks === undefined || found === undefined) throw new Error('no such block')
    const data = found.data.slice()
    data[7] = (data[7] ?? 0) ^ 1
    blocks.set(block, { data, crc: found.crc })
  }

  onFailure(listener: (error: Error) => void): void {
    this.#listeners.push(listener)
  }

  shards(): ShardRecord[] {
    return [...this.#medium.records.values()]
  }

  shard(volume: VolumeId): ShardRecord | undefined {
    return this.#medium.records.get(volume)
  }

  removedAt(volume: VolumeId): Token | undefined {
    return this.#medium.removed.get(volume)
  }

  saveShard(record: ShardRecord): Promise<void> {
    return this.#settle('saveShard', () => {
      this.#medium.records.set(record.spec.id, record)
    })
  }

  removeShard(volume: VolumeId, token: Token): Promise<void> {
    return this.#settle('removeShard', () => {
      this.#medium.removed.set(volume, token)
      this.#medium.records.delete(volume)
      this.#medium.drop(volume)
    })
  }

  forgetShard(volume: VolumeId): Promise<boolean> {
    return this.#settle('forgetShard', () => {
      const record = this.#medium.records.get(volume)
      if (record === undefined || !isEmpty(record) || this.#medium.keeps(volume)) return false
      return this.#medium.records.delete(volume)
    })
  }

  chunks(volume: VolumeId): ChunkKey[] {
    return [...this.#medium.live.keys()].filter(name => name.startsWith(`${volume}/`)).map(keyOf)
  }

  freeChunk(chunk: ChunkKey): Promise<void> {
    return this.#change('freeChunk', chunk, 0, 'free')
  }

  blocks(chunk: ChunkKey, firstBlock: number, count: number): Promise<ChunkBlocks> {
    const blocks = this.#medium.live.get(chunkName(chunk))
    const states = new Uint8Array(count)
    const crcs = new Uint32Array(count)
    for (let i = 0; i < count; i++) {
      const block = blocks?.get(firstBlock + i)
      if (block === undefined) continue
      states[i] = BlockState.data
      crcs[i] = block.crc
    }
    return this.#settle('blocks', () => ({ states, crcs }))
  }

  read(chunk: ChunkKey, offsetBytes: number, lengthBytes: number): Promise<ReadResult> {
    const blocks = this.#medium.live.get(chunkName(chunk))
    const first = offsetBytes / BLOCK_BYTES
    const count = lengthBytes / BLOCK_BYTES
    const crcs = new Uint32Array(count)
    const parts: Uint8Array[] = []
    let isSound = true
    for (let i = 0; i < count; i++) {
      const block = blocks?.get(first + i)
      crcs[i] = block?.crc ?? ZERO_BLOCK_CRC
      parts.push(block?.data ?? ZEROES)
      if (block !== undefined && checksum(block.data) !== block.crc) isSound = false
    }
    const data = parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts)
    return this.#settle('read', () => {
      if (!isSound) throw fault('BAD_CHECKSUM')
      return { data, crcs }
    })
  }

  write(chunk: ChunkKey, offsetBytes: number, data: Uint8Array, crcs: Uint32Array): Promise<void> {
    const blocks: Block[] = []
    for (let i = 0; i < crcs.length; i++) {
      const bytes = data.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES)
      blocks.push({ data: bytes, crc: crcs[i] ?? 0 })
    }
    const ownBytes = this.#reservedBytes(chunk)
    if (blocks.length * BLOCK_BYTES > this.space().availableBytes + ownBytes) {
      return Promise.reject(fault('NO_SPACE'))
    }
    return this.#change('write', chunk, offsetBytes, blocks)
  }

  trim(chunk: ChunkKey, offsetBytes: number, lengthBytes: number): Promise<void> {
    const blocks = new Array<undefined>(lengthBytes / BLOCK_BYTES).fill(undefined)
    return this.#change('trim', chunk, offsetBytes, blocks)
  }

  zero(chunk: ChunkKey, offsetBytes: number, lengthBytes: number): Promise<void> {
    const block = { data: ZEROES, crc: ZERO_BLOCK_CRC }
    const blocks = new Array<Block>(lengthBytes / BLOCK_BYTES).fill(block)
    return this.#change('zero', chunk, offsetBytes, blocks)
  }

  map(chunk: ChunkKey, offsetBytes: number, lengthBytes: number): Promise<Uint32Array> {
    const blocks = this.#medium.live.get(chunkName(chunk))
    const runs: number[] = [0]
    let isData = true
    const first = offsetBytes / BLOCK_BYTES
    for (let block = first; block < first + lengthBytes / BLOCK_BYTES; block++) {
      if ((blocks?.has(block) ?? false) !== isData) {
        isData = !isData
        runs.push(0)
      }
      runs[runs.length - 1] = (runs[runs.length - 1] ?? 0) + 1
    }
    return this.#settle('map', () => Uint32Array.from(runs))
  }

  flush(): Promise<void> {
    const medium = this.#medium
    const covered = [...medium.unsynced].filter(change => change.isResolved)
    return this.#settle('flush', () => {
      // Another flush may cover the same changes: each takes effect once, in order.
      for (const change of covered) {
        if (medium.unsynced.delete(change)) apply(medium.durable, change)
      }
    })
  }

  digest(chunk: ChunkKey): Promise<string> {
    const blocks = this.#medium.live.get(chunkName(chunk)) ?? new Map<number, Block>()
    const digest = chunkDigest()
    for (const [at, { crc, data }] of [...blocks].sort(([a], [b]) => a - b)) {
      digest.add(at, crc, data)
    }
    return this.#settle('digest', () => digest.finish())
  }

  allocatedBytes(volume: VolumeId): number {
    let blocks = 0
    for (const [name, chunk] of this.#medium.live) {
      if (name.startsWith(`${volume}/`)) blocks += chunk.size
    }
    return blocks * BLOCK_BYTES
  }

  chunkBytes(chunk: ChunkKey): number {
    return (this.#medium.live.get(chunkName(chunk))?.size ?? 0) * BLOCK_BYTES
  }

  space(): StoreSpace {
    let usedBytes = 0
    for (const blocks of this.#medium.live.values()) usedBytes += blocks.size * BLOCK_BYTES
    const { capacityBytes } = this.#medium
    const freeBytes = capacityBytes - usedBytes - this.#reservedBytes()
    return { capacityBytes, usedBytes, availableBytes: Math.max(0, freeBytes) }
  }

  /** What is kept free for one chunk on its way here, or for all of them. */
  #reservedBytes(chunk?: ChunkKey): number {
    let reservedBytes = 0
    for (const { spec, receiving } of this.#medium.records.values()) {
      for (const { run, reservedBytes: wanted } of receiving) {
        const name = chunkName({ ...run, volume: spec.id, extent: run.from })
        if (chunk !== undefined && name !== chunkName(chunk)) continue
        const used = (this.#medium.live.get(name)?.size ?? 0) * BLOCK_BYTES
        reservedBytes += Math.max(0, wanted - used)
      }
    }
    return reservedBytes
  }

  async close(): Promise<void> {
    await this.flush()
    await this.flush() // covers what settled with the first
    this.failure ??= new Error('the store is closed')
  }

  #change(
    call: 'write' | 'trim' | 'zero' | 'freeChunk',
    chunk: ChunkKey,
    offsetBytes: number,
    blocks: Change['blocks']
  ): Promise<void> {
    const name = chunkName(chunk)
    const first = offsetBytes / BLOCK_BYTES
    const change: Change = { volume: chunk.volume, name, first, blocks, isResolved: false }
    const code = this.#takeFault(call)
    if (code === undefined) {
      apply(this.#medium.live, change)
      this.#medium.unsynced.add(change)
    }
    return this.#settle(call, () => {
      if (code !== undefined) throw fault(code)
      change.isResolved = true
    })
  }

  #settle<T>(call: keyof ChunkStore, outcome: () => T): Promise<T> {
    this.calls?.push(call)
    const code = this.#takeFault(call)
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        try {
          if (this.failure !== undefined) throw fault('IO_ERROR')
          if (code !== undefined) throw fault(code)
          resolve(outcome())
        } catch (error) {
          reject(error)
        }
      }
      if (this.#held === undefined) queueMicrotask(settle)
      else this.#held.push({ call, settle })
    })
  }

  #takeFault(call: string): FaultCode | undefined {
    const at = this.#faults.findIndex(planned => planned.call === call)
    return at === -1 ? undefined : this.#faults.splice(at, 1)[0]?.code
  }
}

function apply(chunks: Map<string, Blocks>, change: Change): void {
  let blocks = chunks.get(change.name)
  if (change.blocks === 'free') {
    chunks.delete(change.name)
    return
  }
  if (blocks === undefined) {
    blocks = new Map()
    chunks.set(change.name, blocks)
  }
  for (let i = 0; i < change.blocks.length; i++) {
    const block = change.blocks[i]
    if (block === undefined) blocks.delete(change.first + i)
    else blocks.set(change.first + i, block)
  }
}

/** The inverse of `chunkName`. */
function keyOf(name: string): ChunkKey {
  const [volume = '', place = ''] = name.split('/')
  const [extent = 0, generation = 0, column = 0, replica = 0] = place.split('.').map(Number)
  return { volume: volume as VolumeId, extent, generation, column, replica }
}

function fault(code: FaultCode): ShoalError {
  const message = `the memory store answers ${code}`
  return code === 'NO_SPACE' || code === 'BAD_CHECKSUM'
    ? new ShoalError({ code }, message)
    : new ShoalError({ code: 'IO_ERROR' }, message)
}
