/**
 * Reads: the overlay first, then the chunk file; no byte is answered whose checksum does not match.
 *
 * Invariants: where each block comes from is decided in the tick of the call, so a read sees
 * exactly the changes that were called before it; what it then takes from the file cannot change
 * below it (chunk.ts). A hole and a trimmed block are zeroes without a look at the file.
 */
import { assert } from '../../protocols/assert.ts'
import { checksum, ZERO_BLOCK_CRC } from '../../protocols/checksum.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import { BLOCK_BYTES, KiB } from '../../protocols/limits.ts'
import type { Change } from './change.ts'
import { Kind } from './change.ts'
import type { Chunk, ReaderGroup } from './chunk.ts'
import type { ChunkFiles } from './files.ts'
import { ioError } from './health.ts'
import { BlockState, type Table } from './table.ts'
import type { Tables } from './tables.ts'
import type { ChunkBlocks, ReadResult } from './types.ts'

/** Small answers are cut from slabs: an allocation per 4 KiB costs more than the read. */
const SLAB_BYTES = 256 * KiB
const MAX_SLAB_READ_BYTES = 32 * KiB
const IN_FILE = undefined
const ZERO_BLOCK = new Uint8Array(BLOCK_BYTES)

/** Where each block of a read comes from: its bytes, or the file. */
interface Plan {
  readonly blocks: Array<Uint8Array | undefined>
  readonly crcs: Uint32Array
  /** Blocks [from, to) of the read are to be taken from the file, except those given above. */
  from: number
  to: number
}

export class Reader {
  readonly #tables: Tables
  readonly #files: ChunkFiles
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
  #slabUsed = 0

  constructor(tables: Tables, files: ChunkFiles) {
    this.#tables = tables
    this.#files = files
  }

  /** Rejects BAD_CHECKSUM or IO_ERROR. */
  read(chunk: Chunk, first: number, count: number): Promise<ReadResult> {
    const overlay = overlayOf(chunk, first, count)
    const whole = overlay && wholeFromOne(overlay, first, count)
    if (whole !== undefined) return Promise.resolve(whole)
    const group = chunk.beginRead()
    const table = this.#tables.ready(chunk)
    if (table === undefined) return this.#readUnloaded(chunk, group, overlay, first, count)
    return this.#readLoaded(chunk, group, table, overlay, first, count)
  }

  /** States and checksums without a look at the data. */
  async blocks(chunk: Chunk, first: number, count: number): Promise<ChunkBlocks> {
    const overlay = overlayOf(chunk, first, count)
    const group = chunk.beginRead()
    try {
      const table = await this.#tables.load(chunk)
      const states = new Uint8Array(count)
      const crcs = new Uint32Array(count)
      table.copy(first, states, crcs)
      for (let i = 0; overlay !== undefined && i < count; i++) {
        const change = overlay[i]
        if (change === undefined) continue
        states[i] = stateAfter(change)
        crcs[i] = crcAfter(change, first + i)
      }
      return { states, crcs }
    } finally {
      chunk.endRead(group)
    }
  }

  /** Data or hole by block: alternating lengths, beginning with data. */
  async map(chunk: Chunk, first: number, count: number): Promise<Uint32Array> {
    const overlay = overlayOf(chunk, first, count)
    const group = chunk.beginRead()
    try {
      const table = await this.#tables.load(chunk)
      return runLengths(count, i => {
        const change = overlay?.[i]
        if (change === undefined) return table.state(first + i) !== BlockState.hole
        return change.kind !== Kind.trim
      })
    } finally {
      chunk.endRead(group)
    }
  }

  async #readUnloaded(
    chunk: Chunk,
    group: ReaderGroup,
    overlay: Overlay | undefined,
    first: number,
    count: number
  ): Promise<ReadResult> {
    const table = await this.#tables.load(chunk).catch(error => {
      chunk.endRead(group)
      throw error
    })
    return this.#readLoaded(chunk, group, table, overlay, first, count)
  }

  async #readLoaded(
    chunk: Chunk,
    group: ReaderGroup,
    table: Table,
    overlay: Overlay | undefined,
    first: number,
    count: number
  ): Promise<ReadResult> {
    try {
      const plan = planOf(chunk, table, overlay, first, count)
      const data = this.#allocate(count * BLOCK_BYTES)
      if (plan.from < plan.to) await this.#readFile(chunk, first, plan, data)
      for (let i = 0; i < count; i++) {
        const block = plan.blocks[i]
        if (block !== IN_FILE) data.set(block, i * BLOCK_BYTES)
      }
      return { data, crcs: plan.crcs }
    } finally {
      chunk.endRead(group)
    }
  }

  async #readFile(chunk: Chunk, first: number, plan: Plan, data: Buffer): Promise<void> {
    const { from, to } = plan
    const target = data.subarray(from * BLOCK_BYTES, to * BLOCK_BYTES)
    let bytes: number
    try {
      const open = this.#files.acquire(chunk, false)
      const held = open instanceof Promise ? await open : open
      try {
        bytes = await held.file.read(target, (first + from) * BLOCK_BYTES)
      } finally {
        this.#files.release(held)
      }
    } catch (error) {
      throw ioError(`${chunk.path} cannot be read: ${messageOf(error)}`, error)
    }
    if (bytes < target.length) target.fill(0, bytes)
    for (let i = from; i < to; i++) {
      if (plan.blocks[i] !== IN_FILE) continue
      const found = checksum(data.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES))
      if (found !== plan.crcs[i]) {
        const what = `block ${first + i} of ${chunk.path} does not match its checksum`
        throw new ShoalError({ code: 'BAD_CHECKSUM' }, what)
      }
    }
  }

  #allocate(bytes: number): Buffer {
    if (bytes > MAX_SLAB_READ_BYTES) return Buffer.allocUnsafeSlow(bytes)
    if (this.#slabUsed + bytes > SLAB_BYTES) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
      this.#slabUsed = 0
    }
    const start = this.#slabUsed
    this.#slabUsed += bytes
    return this.#slab.subarray(start, this.#slabUsed)
  }
}

type Overlay = ReadonlyArray<Change | undefined>

/** The changes that these blocks have on their way, or undefined if there are none. */
function overlayOf(chunk: Chunk, first: number, count: number): Overlay | undefined {
  const { latest } = chunk
  if (latest.size === 0) return undefined
  let overlay: Array<Change | undefined> | undefined
  for (let i = 0; i < count; i++) {
    const change = latest.get(first + i)
    if (change === undefined) continue
    overlay ??= new Array<Change | undefined>(count).fill(undefined)
    overlay[i] = change
  }
  return overlay
}

/** The answer if one change has all of it in memory: a view, without a copy. */
function wholeFromOne(overlay: Overlay, first: number, count: number): ReadResult | undefined {
  const [change] = overlay
  if (change === undefined || change.data.length === 0) return undefined
  for (const other of overlay) if (other !== change) return undefined
  const at = first - change.first
  return {
    data: change.data.subarray(at * BLOCK_BYTES, (at + count) * BLOCK_BYTES),
    crcs: change.crcs.slice(at, at + count)
  }
}

function planOf(
  chunk: Chunk,
  table: Table,
  overlay: Overlay | undefined,
  first: number,
  count: number
): Plan {
  const blocks = new Array<Uint8Array | undefined>(count)
  const plan: Plan = { blocks, crcs: new Uint32Array(count), from: count, to: 0 }
  for (let i = 0; i < count; i++) {
    const change = overlay?.[i]
    if (change !== undefined) planOverlay(chunk, plan, i, first + i, change)
    else planTable(chunk, plan, i, first + i, table)
  }
  return plan
}

function planOverlay(chunk: Chunk, plan: Plan, i: number, block: number, change: Change): void {
  if (change.kind === Kind.lost) throw lost(chunk, block)
  if (change.kind === Kind.trim || change.kind === Kind.zero) {
    planZero(plan, i)
    return
  }
  const at = (block - change.first) * BLOCK_BYTES
  plan.crcs[i] = change.crcs[block - change.first] ?? 0
  if (change.data.length > 0) plan.blocks[i] = change.data.subarray(at, at + BLOCK_BYTES)
  else {
    assert(change.kind === Kind.bypass, 'only a bypass leaves its data to the file')
    planFile(plan, i)
  }
}

/** What a table says of the blocks of a change once it is applied. */
function stateAfter(change: Change): BlockState {
  if (change.kind === Kind.trim) return BlockState.hole
  return change.kind === Kind.lost ? BlockState.lost : BlockState.data
}

function crcAfter(change: Change, block: number): number {
  if (change.kind === Kind.zero) return ZERO_BLOCK_CRC
  return stateAfter(change) === BlockState.data ? (change.crcs[block - change.first] ?? 0) : 0
}

function planTable(chunk: Chunk, plan: Plan, i: number, block: number, table: Table): void {
  const state = table.state(block)
  if (state === BlockState.lost) throw lost(chunk, block)
  if (state === BlockState.hole) {
    planZero(plan, i)
    return
  }
  plan.crcs[i] = table.crc(block)
  planFile(plan, i)
}

function planZero(plan: Plan, i: number): void {
  plan.blocks[i] = ZERO_BLOCK
  plan.crcs[i] = ZERO_BLOCK_CRC
}

function planFile(plan: Plan, i: number): void {
  plan.from = Math.min(plan.from, i)
  plan.to = i + 1
}

function lost(chunk: Chunk, block: number): ShoalError {
  return ioError(`block ${block} of ${chunk.path} was lost to damage; write it again`)
}

/** Alternating lengths of data and hole, beginning with data. */
export function runLengths(count: number, isData: (index: number) => boolean): Uint32Array {
  const lengths = [0]
  let wasData = true
  for (let i = 0; i < count; i++) {
    if (isData(i) !== wasData) {
      lengths.push(0)
      wasData = !wasData
    }
    lengths[lengths.length - 1] = (lengths[lengths.length - 1] ?? 0) + 1
  }
  return Uint32Array.from(lengths)
}
