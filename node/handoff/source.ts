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
import { type Frame, HANDOFF_PROTOCOL } from '../../protocols/handoff/messages.ts'
import { covers, release } from '../../protocols/handoff/records.ts'
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
import { HANDOFF_ASK_ATTEMPTS, HANDOFF_OPEN_TIMEOUT_MS } from '../limits.ts'
import { Approver, type Cutover } from './approval.ts'
import { HandoffChannel } from './channel.ts'
import { allocatedBytes, Copier } from './copier.ts'
import { FrozenChunk } from './frozen.ts'
import { type HandoffParts, newHandoffId, pause } from './parts.ts'
import { confirmRelease, freeReleased, Releaser } from './releaser.ts'
import type { HandoffEnd, HandoffProgress, HandoffWish, Resumed } from './types.ts'

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
  readonly #frozen: FrozenChunk
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
    this.#frozen = new FrozenChunk(parts, of)
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
    this.#frozen.forgetTime()
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
        return this.#frozen.thaw()
      case 'free':
        return freeReleased(this.#parts, this.chunk)
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
    if (this.#state.at !== 'greeting') return this.#channel.close('not needed any more')
    this.#makeCopier(blocks)
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
    const copier = this.#copier
    const dirty = this.#dirty
    assert(copier !== undefined && dirty !== undefined, 'a copy has begun')
    if (!this.#hasStarted) this.#parts.observe('source: copying')
    this.#hasStarted = true
    await copier.round(isUrgent)
    this.#dispatch({ type: 'copied', restBytes: dirty.count * BLOCK_BYTES })
  }

  /** A holder that refuses for the moment is asked again; what changes meanwhile is copied. */
  async #ask(): Promise<void> {
    const { observe } = this.#parts
    await this.#copier?.catchUp()
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
    this.#frozen.freeze(() => this.#dispatch({ type: 'expired' }))
    this.#parts.observe('source: frozen')
    this.#progress('cutover')
    const copier = this.#copier
    assert(copier !== undefined, 'a cutover follows a copy')
    await copier.rest()
    this.#dispatch({ type: 'rested', digest: copier.table.digest() })
  }

  async #prepare({ token, epoch }: Approval, digest: string): Promise<void> {
    const head = this.#parts.shards.replicas.head(this.chunk.volume)
    assert(head !== undefined, 'a shard with a cutover is there')
    this.#parts.observe('source: preparing')
    const { sizeBytes, writer, holder } = head
    const volume = { sizeBytes, token, writer, ...(holder === undefined ? {} : { holder }) }
    this.#frozen.flush()
    await this.#send({ type: 'prepare', body: { ...volume, epoch, digest } })
  }

  async #commit({ token, epoch }: Approval): Promise<void> {
    const { shards, store, observe } = this.#parts
    const { chunk, handoff, to } = this
    assert(this.#heldAt !== undefined, 'a commit releases what is held')
    const wish = { chunk, handoff, to, token, epoch, heldAt: this.#heldAt }
    observe('source: committing')
    try {
      await this.#frozen.durable()
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
    this.#pauseMs = this.#frozen.pauseMs()
    this.#frozen.forgetTime()
    this.#parts.observe('source: confirming')
    const isConfirmed = await confirmRelease(this.#parts, this.chunk, this.handoff)
    if (!isConfirmed) return
    this.#parts.passed(this.chunk, this.to)
    this.#dispatch({ type: 'confirmed' })
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

  async #abandon(): Promise<void> {
    await this.#channel?.send({ type: 'abort' })
    await this.#channel?.end('the handoff was abandoned')
  }

  #finish(end: SourceEnd): void {
    this.#wish?.signal.removeEventListener('abort', this.#cancel)
    this.#dirty?.close()
    this.#frozen.forgetTime()
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
