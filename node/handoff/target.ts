/**
 * Drives the target's machine (protocols/handoff/target.ts) for one stream: stores what arrives,
 * reads it back, and makes the steps of the shard here durable.
 *
 * Invariants: those of the machine; `stored` is said only of frames that the store has taken; what
 * was read back is what the digest is made of.
 */
import { firstBadBlock } from '../../protocols/checksum.ts'
import { isFault, messageOf } from '../../protocols/fault.ts'
import { BlockTable } from '../../protocols/handoff/block-table.ts'
import { shortened } from '../../protocols/handoff/calls.ts'
import { HANDOFF_WINDOW_BYTES } from '../../protocols/handoff/limits.ts'
import type { Hello, Prepare, Refusal } from '../../protocols/handoff/messages.ts'
import { type Frame, frameCost } from '../../protocols/handoff/messages.ts'
import { demote, drop, prepare, reserve } from '../../protocols/handoff/records.ts'
import type { TargetEffect, TargetEvent, TargetState } from '../../protocols/handoff/target.ts'
import { newTarget, step } from '../../protocols/handoff/target.ts'
import type { NodeId, PlacementEpoch } from '../../protocols/ids.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'
import { columnBytes, shapeProblem } from '../../protocols/stripe/map.ts'
import {
  HANDOFF_FLUSH_BYTES,
  HANDOFF_OPEN_TIMEOUT_MS,
  HANDOFF_PIECE_BLOCKS,
  HANDOFF_SHARED_PIECE_BLOCKS
} from '../limits.ts'
import type { ByteStream } from '../ports.ts'
import { BlockState } from '../storage/table.ts'
import { HandoffChannel } from './channel.ts'
import { holdChunk } from './claims.ts'
import { uncompress } from './compressor.ts'
import type { HandoffParts } from './parts.ts'

export interface TargetListener {
  /** The chunk of its hello is this run's: any other run of it is over. */
  readonly reserved: (run: TargetRun) => void
  readonly ended: (run: TargetRun) => void
}

export class TargetRun {
  readonly source: NodeId
  hello: Hello | undefined
  readonly #parts: HandoffParts
  readonly #channel: HandoffChannel
  readonly #listener: TargetListener
  #state: TargetState = newTarget
  #table = new BlockTable(0)
  readonly #storing = new Set<Promise<void>>()
  #stored = 0
  #hasStored = false
  #isVerifying = false
  /** What arrives after the first verification is read back at once, in its order. */
  #checked: Promise<void> = Promise.resolve()
  #unflushedBytes = 0
  /** Received and not `stored`. */
  #waitingBytes = 0

  constructor(parts: HandoffParts, stream: ByteStream, listener: TargetListener) {
    this.#parts = parts
    this.source = stream.peer
    this.#listener = listener
    const late = parts.clock.after(HANDOFF_OPEN_TIMEOUT_MS, () => {
      if (this.hello === undefined) this.stop('no hello came')
    })
    this.#channel = new HandoffChannel(stream, {
      received: frame => this.#dispatch({ type: 'frame', frame }),
      closed: () => {
        late.cancel()
        this.#dispatch({ type: 'lost' })
        listener.ended(this)
      }
    })
  }

  /** Too many at once, or the node is going down. */
  refuse(refusal: Refusal): void {
    this.#dispatch({ type: 'refused', refusal })
  }

  stop(why: string): void {
    this.#channel.close(why)
  }

  #dispatch(event: TargetEvent): void {
    const { state, effects } = step(this.#state, event)
    this.#state = state
    for (const effect of effects) void this.#carryOut(effect)
  }

  async #carryOut(effect: TargetEffect): Promise<void> {
    try {
      await this.#do(effect)
    } catch (error) {
      const code = isFault(error, 'NO_SPACE') ? 'no-space' : 'failed'
      const isUnreadable = effect.type === 'verify' || effect.type === 'prepare'
      if (isUnreadable && code === 'failed') await this.#forget().catch(() => {})
      this.#refuseWith(code, messageOf(error))
    }
  }

  #do(effect: TargetEffect): Promise<void> | void {
    switch (effect.type) {
      case 'reserve':
        return this.#reserve(effect.hello)
      case 'say have':
        return this.#sayHave()
      case 'store':
        return this.#store(effect.frame)
      case 'verify':
        return this.#verify()
      case 'say verified':
        return this.#say({ type: 'verified' })
      case 'prepare':
        return this.#prepare(effect.wish)
      case 'say prepared':
        return this.#say({ type: 'prepared' })
      case 'hold':
        return this.#hold(effect.epoch)
      case 'say held':
        return this.#say({ type: 'held' })
      case 'demote':
        return this.#demote()
      case 'say refused':
        return this.#sayRefused(effect.refusal)
      case 'reject':
        this.#channel.close(effect.why)
        return undefined
    }
  }

  async #reserve(hello: Hello): Promise<void> {
    const { shards, store, observe } = this.#parts
    const { chunk, spec, handoff } = hello
    this.hello = hello
    const shape = shapeProblem(spec)
    if (shape !== undefined || chunk.volume !== spec.id || chunk.column >= spec.columns) {
      this.#refuseWith('failed', shape ?? 'the chunk is not of the volume')
      return
    }
    const { availableBytes } = store.space()
    const isKnown = shards.replicas
      .head(chunk.volume)
      ?.receiving.some(one => one.handoff === handoff)
    if (isKnown !== true && availableBytes < hello.reserveBytes) {
      const missing = hello.reserveBytes - availableBytes
      this.#refuseWith('no-space', `${missing} bytes are missing for the chunk`)
      return
    }
    observe('target: reserving')
    const head = await shards.replicas.update(chunk.volume, now => reserve(now, this.source, hello))
    if (typeof head === 'string') return this.#refuseWith(codeOf(head), head)
    // An older stream of the chunk must not write what it still brings over what comes now.
    this.#listener.reserved(this)
    this.#table = new BlockTable(columnBytes(spec, chunk.column) / BLOCK_BYTES)
    observe('target: reserved')
    this.#dispatch({ type: 'reserved' })
  }

  /** What an earlier attempt left, read back: the source sends only what differs. */
  async #sayHave(): Promise<void> {
    const { store } = this.#parts
    const chunk = this.hello?.chunk
    const end: Frame = { type: 'have', first: 0, count: 0, hashes: new BigUint64Array(0) }
    if (chunk !== undefined && store.chunks(chunk.volume).some(key => sameChunk(key, chunk))) {
      for (let at = 0; at < this.#table.blocks; at += HANDOFF_PIECE_BLOCKS) {
        const count = Math.min(HANDOFF_PIECE_BLOCKS, this.#table.blocks - at)
        const { states } = await store.blocks(chunk, at, count)
        for (const { first, length } of dataRuns(states)) await this.#sayRun(at + first, length)
      }
    }
    await this.#say(end)
  }

  /** A run that cannot be read is as good as none: it is sent again. */
  async #sayRun(first: number, count: number): Promise<void> {
    const { store, pace } = this.#parts
    const chunk = this.hello?.chunk
    if (chunk === undefined) return
    await pace.take(count * BLOCK_BYTES)
    try {
      const { data, crcs } = await store.read(chunk, first * BLOCK_BYTES, count * BLOCK_BYTES)
      this.#table.setData(first, crcs, data)
    } catch {
      return
    }
    await this.#say({ type: 'have', first, count, hashes: this.#table.hashes(first, count) })
  }

  /** Handed to the store in the order of arrival; answered when the store has it. */
  async #store(frame: Frame & { type: 'blocks' | 'holes' }): Promise<void> {
    if (!this.#hasStored) this.#parts.observe('target: storing')
    this.#hasStored = true
    const { first, count } = frame
    if (first + count > this.#table.blocks) return this.#channel.close('blocks beyond the chunk')
    const waitingBytes = frameCost(frame)
    this.#waitingBytes += waitingBytes
    if (this.#waitingBytes > 2 * HANDOFF_WINDOW_BYTES) {
      return this.#channel.close('more than the window was sent')
    }
    const storing = this.#write(frame)
    this.#table.forget(first, count)
    this.#storing.add(storing)
    try {
      await storing
    } finally {
      this.#storing.delete(storing)
    }
    // Our own clients matter as well; but in a cutover others wait.
    if (this.#isVerifying) this.#check(first, count)
    else await this.#parts.pace.take(count * BLOCK_BYTES)
    this.#flushSome(count * BLOCK_BYTES)
    this.#waitingBytes -= waitingBytes
    this.#stored++
    if (this.#stored > 1) return
    this.#parts.clock.soon(() => {
      const stored = this.#stored
      this.#stored = 0
      void this.#say({ type: 'stored', count: stored })
    })
  }

  #write(frame: Frame & { type: 'blocks' | 'holes' }): Promise<void> {
    const { store } = this.#parts
    const chunk = this.hello?.chunk
    if (chunk === undefined) return Promise.reject(new Error('blocks before the hello'))
    const at = frame.first * BLOCK_BYTES
    if (frame.type === 'holes') return store.trim(chunk, at, frame.count * BLOCK_BYTES)
    const { crcs } = frame
    const data = frame.isCompressed ? uncompress(frame.data, frame.count) : frame.data
    if (data === undefined) return Promise.reject(new Error('blocks that cannot be uncompressed'))
    if (firstBadBlock(data, crcs) !== -1) {
      return Promise.reject(new Error('a block does not match its checksum'))
    }
    return store.write(chunk, at, data, crcs)
  }

  /** The last flush finds little to do, and no client waits long for it. */
  #flushSome(bytes: number): void {
    this.#unflushedBytes += bytes
    if (this.#unflushedBytes < HANDOFF_FLUSH_BYTES) return
    this.#unflushedBytes = 0
    // Whether it is durable is asked again, by the flush that counts.
    this.#parts.store.flush().catch(() => {})
  }

  /** A block that is sent again meanwhile is read again by its own frame. */
  #check(first: number, count: number): void {
    this.#checked = this.#checked.then(() => this.#readRun(first, count))
    // Whoever waits for it gets the error.
    this.#checked.catch(() => {})
  }

  /** Durable before the holder is asked to wait: what is flushed in the cutover is little. */
  async #verify(): Promise<void> {
    this.#isVerifying = true
    await this.#readBack(true)
    await this.#parts.store.flush()
    this.#parts.observe('target: verified')
    this.#dispatch({ type: 'verified' })
  }

  /**
   * Reads what was stored and not read since, from the store: what the digest speaks of. Not while
   * it arrives, which would be faster: what the store does to it afterwards must show as well.
   */
  async #readBack(isPaced: boolean): Promise<void> {
    const { pace } = this.#parts
    await Promise.all(this.#storing)
    await this.#checked
    let from = 0
    for (;;) {
      const most = pace.isShared ? HANDOFF_SHARED_PIECE_BLOCKS : HANDOFF_PIECE_BLOCKS
      const run = this.#table.nextUnknown(from, most)
      if (run === undefined) return
      from = run.first + run.count
      await this.#readRun(run.first, run.count, isPaced)
    }
  }

  async #readRun(first: number, count: number, isPaced = false): Promise<void> {
    const { store, pace } = this.#parts
    const chunk = this.hello?.chunk
    if (chunk === undefined) return
    const lengths = await store.map(chunk, first * BLOCK_BYTES, count * BLOCK_BYTES)
    let block = first
    for (const [i, length] of lengths.entries()) {
      if (i % 2 === 1) this.#table.setHoles(block, length)
      else if (length > 0) {
        const bytes = length * BLOCK_BYTES
        if (isPaced) await pace.take(bytes)
        const { data, crcs } = await store.read(chunk, block * BLOCK_BYTES, bytes)
        this.#table.setData(block, crcs, data)
      }
      block += length
    }
  }

  async #prepare(wish: Prepare): Promise<void> {
    const { shards, store, observe } = this.#parts
    const { hello } = this
    if (hello === undefined) return
    await this.#readBack(false)
    if (this.#table.digest() !== wish.digest) return this.#discard()
    observe('target: preparing')
    await store.flush()
    const { handoff, chunk } = hello
    const head = await shards.replicas.update(chunk.volume, now => prepare(now, handoff, wish))
    if (typeof head === 'string') return this.#refuseWith(codeOf(head), head)
    observe('target: prepared')
    this.#dispatch({ type: 'prepared' })
  }

  async #discard(): Promise<void> {
    await this.#forget()
    this.#refuseWith('digest', 'the copies differ')
  }

  /**
   * The copies differ, or this one cannot be read: nothing of it is worth keeping. A newer attempt
   * may have taken over meanwhile, and even be held: its bytes are not this run's to free.
   */
  async #forget(): Promise<void> {
    const { shards, store } = this.#parts
    if (this.hello === undefined) return
    const { chunk, handoff } = this.hello
    const receiving = shards.replicas.head(chunk.volume)?.receiving ?? []
    if (!receiving.some(one => one.handoff === handoff && !one.isPrepared)) return
    // In the same step: whatever a newer attempt stores is called later.
    await store.freeChunk(chunk)
    await shards.replicas.update(chunk.volume, now => drop(now, handoff))
  }

  async #hold(epoch: PlacementEpoch): Promise<void> {
    if (this.hello === undefined) return
    const { chunk, handoff } = this.hello
    const refusal = await holdChunk(this.#parts, chunk, handoff, epoch)
    if (refusal !== undefined) return this.#refuseWith('failed', refusal)
    this.#dispatch({ type: 'held' })
  }

  async #demote(): Promise<void> {
    const { shards, observe } = this.#parts
    if (this.hello !== undefined) {
      const { chunk, handoff } = this.hello
      observe('target: dropping')
      await shards.replicas.update(chunk.volume, now => demote(now, handoff))
    }
    this.#channel.close('the handoff was abandoned')
  }

  #refuseWith(code: Refusal['code'], why: string): void {
    this.#dispatch({ type: 'refused', refusal: { code, why: shortened(why) } })
  }

  async #sayRefused(body: Refusal): Promise<void> {
    await this.#say({ type: 'refused', body })
    await this.#channel.end(body.why)
    this.#listener.ended(this)
  }

  async #say(frame: Frame): Promise<void> {
    // A stream that is gone tells so itself.
    await this.#channel.send(frame)
  }
}

function codeOf(why: string): Refusal['code'] {
  if (why === 'removed' || why === 'stale') return why
  if (why.includes('held here already')) return 'held'
  return why.includes('another handoff') || why.includes('another node') ? 'busy' : 'failed'
}

function sameChunk(a: Hello['chunk'], b: Hello['chunk']): boolean {
  return (
    a.extent === b.extent &&
    a.generation === b.generation &&
    a.column === b.column &&
    a.replica === b.replica
  )
}

function* dataRuns(states: Uint8Array): Generator<{ first: number; length: number }> {
  let first = 0
  while (first < states.length) {
    if (states[first] !== BlockState.data) {
      first++
      continue
    }
    let end = first
    while (end < states.length && states[end] === BlockState.data) end++
    yield { first, length: end - first }
    first = end
  }
}
