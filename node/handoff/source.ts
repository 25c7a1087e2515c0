/**
 * Drives the source's machine (protocols/handoff/source.ts) for one handoff: its effects are frames
 * on a stream to the target, calls to the holder, and durable steps of the shard here.
 *
 * Invariants: those of the machine; the chunk is frozen and tracked only while this runs, unless
 * its store failed: then nothing of it is served here any more.
 */
import { assert } from '../../protocols/assert.ts'
import { messageOf } from '../../protocols/fault.ts'
import type { HandoffOutcome } from '../../protocols/handoff/calls.ts'
import type { DirtyBlocks } from '../../protocols/handoff/dirty-blocks.ts'
import { CUTOVER_MS } from '../../protocols/handoff/limits.ts'
import { type Frame, HANDOFF_PROTOCOL } from '../../protocols/handoff/messages.ts'
import { confirm, covers, mustKeep, release } from '../../protocols/handoff/records.ts'
import type {
  Approval,
  SourceEffect,
  SourceEnd,
  SourceEvent,
  SourceState,
  SourceStep
} from '../../protocols/handoff/source.ts'
import { begin, resume, step } from '../../protocols/handoff/source.ts'
import type { ChunkKey, HandoffId, NodeId, PlacementEpoch } from '../../protocols/ids.ts'
import { BLOCK_BYTES, MAX_EXTENT_BYTES } from '../../protocols/limits.ts'
import { columnBytes } from '../../protocols/stripe/map.ts'
import {
  HANDOFF_ASK_ATTEMPTS,
  HANDOFF_FEW_BLOCKS,
  HANDOFF_LAST_ROUNDS,
  HANDOFF_OPEN_TIMEOUT_MS
} from '../limits.ts'
import type { Timer } from '../ports.ts'
import { Approver, type Cutover } from './approval.ts'
import { HandoffChannel } from './channel.ts'
import { Copier } from './copier.ts'
import { type HandoffParts, newHandoffId, pause } from './parts.ts'
import { Releaser } from './releaser.ts'
import type { HandoffEnd, HandoffProgress, HandoffWish } from './types.ts'

const STORE_RETRY_MS = 1_000

export interface Resumed {
  readonly chunk: ChunkKey
  readonly handoff: HandoffId
  readonly to: NodeId
  readonly epoch: PlacementEpoch
}

export class SourceRun {
  readonly handoff: HandoffId
  readonly chunk: ChunkKey
  readonly to: NodeId
  readonly ended: Promise<HandoffEnd>
  readonly #parts: HandoffParts
  readonly #approver: Approver
  readonly #wish: HandoffWish | undefined
  #end: (end: HandoffEnd) => void = () => {}
  #state: SourceState = { at: 'greeting' }
  #heldAt: PlacementEpoch | undefined
  #epoch: PlacementEpoch | undefined
  #channel: HandoffChannel | undefined
  #copier: Copier | undefined
  #dirty: DirtyBlocks | undefined
  #releaser: Releaser | undefined
  /** The bytes of the frozen chunk are durable here. */
  #flushed: Promise<void> | undefined
  #cutoverTimer: Timer | undefined
  #frozenAtMs: number | undefined
  #pauseMs = 0
  #totalBytes = 0
  #sentBytes = 0
  #hasStarted = false

  private constructor(parts: HandoffParts, of: Omit<Resumed, 'epoch'>, wish?: HandoffWish) {
    this.#parts = parts
    this.handoff = of.handoff
    this.chunk = of.chunk
    this.to = of.to
    this.#wish = wish
    this.#approver = new Approver(parts)
    this.ended = new Promise(resolve => {
      this.#end = resolve
    })
  }

  /** Passes the chunk on. */
  static start(parts: HandoffParts, wish: HandoffWish): SourceRun {
    const handoff = newHandoffId(parts.random)
    const run = new SourceRun(parts, { handoff, chunk: wish.chunk, to: wish.to }, wish)
    run.#perform(begin())
    wish.signal.addEventListener('abort', run.#cancel)
    if (wish.signal.aborted) run.#cancel()
    return run
  }

  /** Finishes what an earlier start committed. */
  static resume(parts: HandoffParts, resumed: Resumed): SourceRun {
    const run = new SourceRun(parts, resumed)
    run.#epoch = resumed.epoch
    run.#perform(resume())
    return run
  }

  /** What became of it so far. */
  outcome(): HandoffOutcome | undefined {
    const { at } = this.#state
    if (at === 'aborted' || at === 'back') return { is: 'aborted' }
    const isReleased = at === 'releasing' || at === 'confirming' || at === 'done'
    if (!isReleased || this.#epoch === undefined) return undefined
    return { is: 'released', to: this.to, epoch: this.#epoch }
  }

  /** Why a committed handoff is not over yet, in words. */
  problem(): string | undefined {
    return this.#releaser?.problem
  }

  /** The node is going down: nothing more is begun. */
  stop(): void {
    this.#dispatch({ type: 'cancel', why: 'the node is going down' })
    this.#releaser?.stop()
    this.#channel?.close('the node is going down')
    this.#cutoverTimer?.cancel()
  }

  readonly #cancel = (): void => {
    this.#dispatch({ type: 'cancel', why: 'it was cancelled' })
  }

  #dispatch(event: SourceEvent): void {
    this.#perform(step(this.#state, event))
  }

  #perform({ state, effects }: SourceStep): void {
    const hasMoved = this.#state.at !== state.at
    this.#state = state
    if (hasMoved) this.#releaser?.wake()
    if (hasMoved && state.at === 'aborted') this.#parts.observe('source: aborted')
    for (const effect of effects) void this.#carryOut(effect)
  }

  async #carryOut(effect: SourceEffect): Promise<void> {
    try {
      await this.#do(effect)
    } catch (error) {
      const why = messageOf(error)
      this.#parts.log.debug({ handoff: this.handoff, effect: effect.type, why }, 'handoff failed')
      this.#dispatch({ type: 'failed', why, mayRetry: true })
    }
  }

  #do(effect: SourceEffect): Promise<void> | void {
    switch (effect.type) {
      case 'greet':
        return this.#greet()
      case 'copy':
        return this.#copy(effect.isUrgent)
      case 'verify':
        this.#parts.observe('source: verifying')
        return this.#send({ type: 'verify' })
      case 'ask':
        return this.#ask()
      case 'rest':
        return this.#rest()
      case 'prepare':
        return this.#prepare(effect.approval, effect.digest)
      case 'commit':
        return this.#commit(effect.approval)
      case 'release':
        return this.#release()
      case 'reclaim':
        return this.#reclaim()
      case 'confirm':
        return this.#confirm()
      case 'settle':
        return this.#settle(effect.outcome)
      case 'thaw':
        return this.#thaw()
      case 'free':
        return this.#free()
      case 'abandon':
        return this.#abandon()
      case 'end':
        return this.#finish(effect.end)
    }
  }

  async #greet(): Promise<void> {
    const { shards, store, network, observe } = this.#parts
    const { chunk } = this
    const head = shards.replicas.head(chunk.volume)
    const run = head?.runs.find(one => covers(one, chunk))
    if (head === undefined || run === undefined) {
      this.#dispatch({ type: 'failed', why: 'the chunk is not held here', mayRetry: false })
      return
    }
    this.#heldAt = run.epoch
    const lengthBytes = columnBytes(head.spec, chunk.column)
    const blocks = lengthBytes / BLOCK_BYTES
    // From here on no change goes unnoticed; what is there already is marked as a whole.
    this.#dirty = shards.replicas.track(chunk)
    assert(this.#dirty !== undefined, 'a chunk that is held is tracked')
    this.#dirty.markAll()
    this.#totalBytes = await allocatedBytes(store, chunk, lengthBytes)
    observe('source: offering')
    this.#progress('offering')
    const stream = await network.open(this.to, HANDOFF_PROTOCOL, {
      timeoutMs: HANDOFF_OPEN_TIMEOUT_MS
    })
    this.#channel = new HandoffChannel(stream, {
      received: frame => this.#received(frame),
      closed: why => this.#closed(why)
    })
    this.#makeCopier(blocks)
    if (this.#state.at !== 'greeting') return this.#channel.close('not needed any more')
    const { spec, sizeBytes, token, writer, holder } = head
    const reserveBytes = Math.min(this.#totalBytes, MAX_EXTENT_BYTES)
    const volume = { spec, sizeBytes, token, writer, ...(holder === undefined ? {} : { holder }) }
    const { handoff } = this
    const body = { handoff, chunk, ...volume, epoch: run.epoch, reserveBytes }
    await this.#send({ type: 'hello', body })
  }

  #makeCopier(blocks: number): void {
    const { store, pace } = this.#parts
    const { chunk } = this
    assert(this.#dirty !== undefined, 'a copy follows the changes')
    this.#copier = new Copier({
      store,
      chunk,
      blocks,
      dirty: this.#dirty,
      pace,
      send: frame => this.#channel?.send(frame) ?? Promise.resolve(false),
      onSent: bytes => {
        this.#sentBytes += bytes
        if (this.#state.at === 'copying') this.#progress('copying')
      }
    })
  }

  #received(frame: Frame): void {
    switch (frame.type) {
      case 'have':
        if (frame.count > 0) this.#copier?.has(frame.first, frame.hashes)
        else this.#dispatch({ type: 'have' })
        break
      case 'stored':
        this.#copier?.stored(frame.count)
        break
      case 'verified':
      case 'prepared':
      case 'held':
        this.#dispatch({ type: frame.type })
        break
      case 'refused':
        this.#dispatch({ type: 'refused', refusal: frame.body })
        break
      default:
        this.#channel?.close(`a ${frame.type} frame from a target`)
    }
  }

  #closed(why: string): void {
    this.#copier?.stop()
    this.#releaser?.wake()
    this.#dispatch({
      type: 'failed',
      why: `the stream to the target ended: ${why}`,
      mayRetry: true
    })
  }

  async #copy(isUrgent: boolean): Promise<void> {
    assert(this.#copier !== undefined && this.#dirty !== undefined, 'a copy has begun')
    if (!this.#hasStarted) this.#parts.observe('source: copying')
    this.#hasStarted = true
    await this.#copier.round(isUrgent)
    this.#dispatch({ type: 'copied', restBytes: this.#dirty.count * BLOCK_BYTES })
  }

  /** A holder that refuses for the moment is asked again; what changes meanwhile is copied. */
  async #ask(): Promise<void> {
    const { observe } = this.#parts
    // What changed while the target read back: the holder's clients wait for the rest.
    for (let round = 1; round <= HANDOFF_LAST_ROUNDS; round++) {
      if ((this.#dirty?.count ?? 0) <= HANDOFF_FEW_BLOCKS) break
      await this.#copier?.round(true)
    }
    observe('source: asking')
    for (let attempt = 1; this.#state.at === 'asking'; attempt++) {
      const verdict = await this.#approver.ask(this.#cutover('pass'))
      if (verdict.is === 'approved') return this.#approved(verdict.approval)
      if (attempt >= HANDOFF_ASK_ATTEMPTS) {
        this.#dispatch({ type: 'denied', why: verdict.why })
        return
      }
      await pause(this.#parts, verdict.retryAfterMs)
      if (this.#state.at === 'asking') await this.#copier?.round(true)
    }
  }

  /** An approval that comes when it is over: whoever gave it must not wait for the outcome. */
  async #approved(approval: Approval): Promise<void> {
    if (this.#state.at === 'asking') this.#dispatch({ type: 'approved', approval })
    else await this.#approver.settle(this.#cutover('pass'), { is: 'aborted' })
  }

  async #rest(): Promise<void> {
    const { clock, shards, observe } = this.#parts
    this.#frozenAtMs = clock.monotonicMs()
    shards.replicas.freeze(this.chunk, this.handoff)
    observe('source: frozen')
    this.#progress('cutover')
    this.#cutoverTimer = clock.after(CUTOVER_MS, () => this.#dispatch({ type: 'expired' }))
    assert(this.#copier !== undefined, 'a cutover follows a copy')
    await this.#copier.rest()
    this.#dispatch({ type: 'rested', digest: this.#copier.table.digest() })
  }

  async #prepare({ token, epoch }: Approval, digest: string): Promise<void> {
    const head = this.#parts.shards.replicas.head(this.chunk.volume)
    assert(head !== undefined, 'a shard with a cutover is there')
    this.#parts.observe('source: preparing')
    const { sizeBytes, writer, holder } = head
    const volume = { sizeBytes, token, writer, ...(holder === undefined ? {} : { holder }) }
    // A chunk that is taken back must have what the holder does not keep for it any more.
    this.#flushed = this.#parts.store.flush()
    this.#flushed.catch(() => {})
    await this.#send({ type: 'prepare', body: { ...volume, epoch, digest } })
  }

  async #commit({ token, epoch }: Approval): Promise<void> {
    const { shards, store, observe } = this.#parts
    const { chunk, handoff, to } = this
    assert(this.#heldAt !== undefined, 'a commit releases what is held')
    const wish = { chunk, handoff, to, token, epoch, heldAt: this.#heldAt }
    observe('source: committing')
    try {
      await this.#flushed
      const head = await shards.replicas.update(chunk.volume, now => release(now, wish))
      if (typeof head === 'string') return this.#dispatch({ type: 'void', why: head })
    } catch (error) {
      // A store that failed may have written it: its next start knows, and nobody here serves it.
      if (store.failure === undefined) this.#dispatch({ type: 'void', why: messageOf(error) })
      return
    }
    this.#epoch = epoch
    observe('source: committed')
    this.#dispatch({ type: 'committed' })
  }

  #release(): Promise<void> {
    assert(this.#epoch !== undefined, 'what is released has an epoch')
    this.#progress('releasing')
    this.#releaser = new Releaser(this.#parts, {
      handoff: this.handoff,
      chunk: this.chunk,
      to: this.to,
      epoch: this.#epoch,
      channel: () => (this.#channel?.isOpen === true ? this.#channel : undefined),
      isOpen: () => this.#state.at === 'releasing' || this.#state.at === 'reclaiming',
      dispatch: event => this.#dispatch(event)
    })
    return this.#releaser.run()
  }

  async #reclaim(): Promise<void> {
    assert(this.#releaser !== undefined && this.#epoch !== undefined, 'a release is taken back')
    await this.#releaser.reclaim(this.#approver, this.#cutover('reclaim'))
  }

  async #confirm(): Promise<void> {
    const { shards, store, observe, clock } = this.#parts
    if (this.#frozenAtMs !== undefined) this.#pauseMs = clock.monotonicMs() - this.#frozenAtMs
    this.#cutoverTimer?.cancel()
    observe('source: confirming')
    while (store.failure === undefined) {
      try {
        await shards.replicas.update(this.chunk.volume, head => confirm(head, this.handoff))
        return this.#dispatch({ type: 'confirmed' })
      } catch (error) {
        this.#parts.log.warn({ handoff: this.handoff, why: messageOf(error) }, 'not confirmed yet')
        await pause(this.#parts, STORE_RETRY_MS)
      }
    }
  }

  async #settle(outcome: 'released' | 'aborted'): Promise<void> {
    const { to } = this
    const epoch = this.#epoch
    const told: HandoffOutcome =
      outcome === 'released' && epoch !== undefined
        ? { is: 'released', to, epoch }
        : { is: 'aborted' }
    await this.#approver.settle(this.#cutover('pass'), told)
  }

  #thaw(): void {
    this.#cutoverTimer?.cancel()
    this.#parts.shards.replicas.thaw(this.chunk, this.handoff)
  }

  async #free(): Promise<void> {
    const { store, shards, observe, log } = this.#parts
    observe('source: freeing')
    const head = shards.replicas.head(this.chunk.volume)
    // It may be on its way back: what arrives is written after this very step.
    if (head === undefined || mustKeep(head, this.chunk)) return
    try {
      await store.freeChunk(this.chunk)
      observe('source: freed')
    } catch (error) {
      log.warn({ chunk: this.chunk, why: messageOf(error) }, 'a chunk that left is freed later')
    }
  }

  async #abandon(): Promise<void> {
    await this.#channel?.send({ type: 'abort' })
    await this.#channel?.end('the handoff was abandoned')
  }

  #finish(end: SourceEnd): void {
    this.#wish?.signal.removeEventListener('abort', this.#cancel)
    this.#dirty?.close()
    this.#cutoverTimer?.cancel()
    if (this.#state.at === 'done') void this.#channel?.end('done')
    const bytes = this.#sentBytes
    this.#copier = undefined
    this.#dirty = undefined
    this.#end(end.is === 'passed' ? { is: 'passed', bytes, pauseMs: this.#pauseMs } : end)
  }

  #cutover(purpose: Cutover['purpose']): Cutover {
    const heldAt = purpose === 'reclaim' ? this.#epoch : (this.#heldAt ?? this.#epoch)
    assert(heldAt !== undefined, 'a cutover is of a chunk that was held')
    return { handoff: this.handoff, chunk: this.chunk, heldAt, target: this.to, purpose }
  }

  async #send(frame: Frame): Promise<void> {
    // A stream that is gone tells so itself.
    await this.#channel?.send(frame)
  }

  #progress(phase: HandoffProgress['phase']): void {
    const { signal, onProgress } = this.#wish ?? {}
    if (signal === undefined || onProgress === undefined) return
    onProgress({ phase, totalBytes: this.#totalBytes, sentBytes: this.#sentBytes })
  }
}

async function allocatedBytes(
  store: HandoffParts['store'],
  chunk: ChunkKey,
  lengthBytes: number
): Promise<number> {
  const runs = await store.map(chunk, 0, lengthBytes)
  let blocks = 0
  for (const [i, length] of runs.entries()) if (i % 2 === 0) blocks += length
  return blocks * BLOCK_BYTES
}
