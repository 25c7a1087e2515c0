/**
 * The link of one attachment to one shard: it survives the streams and the starts of the node.
 *
 *   down --back-off--> dialling --> greeting --same incarnation, or nothing to replay--> open
 *    ^                                  \__new incarnation--> replaying --whole buffer--> /
 *    |_________ stream lost, silent too long, replay refused ____________________________/
 *   any --stop (fenced, detached)--> stopped
 *
 * Invariants:
 * - nothing but hello is sent before hello is answered, and nothing but the replay, reads included,
 *   before a new incarnation has the whole buffer;
 * - a start of the node's store before one that was met, or a clone of it, is never opened;
 * - unanswered requests are sent again in their order, under a greater session; one that was given
 *   up is not, and is `expired` only when a later hello was answered: by then the shard has applied
 *   or discarded it;
 * - a flush frees what was answered before it was sent, if it is answered on that same connection,
 *   which speaks for one incarnation;
 * - a request that was answered with an error is never sent again.
 */
import { assert } from '../../protocols/assert.ts'
import { startProblem } from '../../protocols/attach/starts.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import type { ChunkKey, Incarnation, NodeId } from '../../protocols/ids.ts'
import { type Answer, Op, Status } from '../../protocols/shard-io/messages.ts'
import {
  IO_AGE_FACTOR,
  LINK_BACK_OFF_MAX_MS,
  LINK_BACK_OFF_MIN_MS,
  LINK_IN_FLIGHT
} from '../limits.ts'
import type { Timer } from '../ports.ts'
import type { Change } from './change.ts'
import type { ShardChannel } from './channel.ts'
import { Flusher } from './flusher.ts'
import { InFlight } from './in-flight.ts'
import type { LinkContext } from './link-context.ts'
import { helloRequest, pingRequest } from './link-requests.ts'
import { Refusals } from './refusals.ts'
import { ReplayBuffer } from './replay-buffer.ts'
import type { LinkRequest } from './request.ts'
import { Restoration } from './restoration.ts'
import { isKept, isOfSomeChunk, Waiting } from './waiting.ts'

export type LinkPhase = 'down' | 'dialling' | 'greeting' | 'replaying' | 'open' | 'stopped'

export class ShardLink {
  readonly node: NodeId
  readonly buffer = new ReplayBuffer<Change>()
  readonly flusher: Flusher
  readonly #context: LinkContext
  #phase: LinkPhase = 'down'
  #channel: ShardChannel | undefined
  /** Counts the connections, so that what an older one still says is not heard. */
  #dials = 0
  /** The greatest start of the node's store that was met; no earlier one is ever opened. */
  #latest: Incarnation | undefined
  readonly #restoration = new Restoration(this.buffer)
  #isBlocked = false
  readonly #inFlight = new InFlight()
  readonly #waiting: Waiting
  readonly #refusals: Refusals
  #isHeld = false
  #failures = 0
  #backOff: Timer | undefined
  #heardAt: number
  #greetedAt = 0
  #isPinged = false

  /** `latest`: the start in which the shard granted, or is known to have been. */
  constructor(node: NodeId, context: LinkContext, latest: Incarnation | undefined) {
    this.node = node
    this.#context = context
    this.#latest = latest
    this.#waiting = new Waiting(context.clock)
    this.#refusals = new Refusals({
      link: this,
      context,
      waiting: this.#waiting,
      restoration: this.#restoration,
      reset: reason => this.#reset(reason),
      pump: () => this.#pump()
    })
    this.#heardAt = context.clock.monotonicMs()
    this.flusher = new Flusher(this, context)
  }

  get phase(): LinkPhase {
    return this.#phase
  }

  /** Monotonic ms of the last answer of any kind. */
  get heardAt(): number {
    return this.#heardAt
  }

  /** Why it does not open although the node answers, in words. */
  get trouble(): string | undefined {
    return this.#restoration.trouble
  }

  /** The greatest start that was met. */
  get latest(): Incarnation | undefined {
    return this.#latest
  }

  /** Nothing is kept for it, and of what waits nothing is for a chunk. */
  get isIdle(): boolean {
    if (this.buffer.length > 0 || this.#inFlight.hasDoomed) return false
    return !this.#waiting.some(isOfSomeChunk) && !this.#inFlight.some(isOfSomeChunk)
  }

  /** The start of the store on which the link is open, or was last. */
  get incarnation(): Incarnation | undefined {
    return this.#restoration.restored
  }

  get waiting(): number {
    return this.#inFlight.size + this.#waiting.size
  }

  /** Sends the request now or when it may be sent. */
  submit(request: LinkRequest): void {
    if (this.#phase === 'stopped') {
      request.failed(this.#context.stopReason(), false)
    } else if (this.#waiting.setAside(request)) {
      // Until its chunk is known to be here, or elsewhere.
    } else if (this.#phase === 'open' && !this.#isFull() && this.#waiting.unsent.length === 0) {
      this.#send(request)
    } else {
      this.#waiting.unsent.push(request)
      this.connect()
    }
  }

  /** Nothing of this chunk is sent, nor its answer heard, until `takeWaiting`. */
  park(chunk: ChunkKey): void {
    if (this.#phase !== 'stopped') this.#waiting.park(chunk, this.#inFlight)
  }

  /** Removes and returns what waits of this chunk; what is in flight stays there. */
  takeWaiting(chunk: ChunkKey): LinkRequest[] {
    return this.#waiting.takeOf(chunk)
  }

  /** Takes over changes that another shard may have lost: replayed before anything else passes. */
  takeOver(changes: readonly Change[]): void {
    for (const change of changes) this.buffer.push(change)
    if (changes.length === 0 || this.#phase === 'stopped') return
    this.#restoration.forget()
    this.#disconnect(new ShoalError({ code: 'CLOSED' }, 'there is more to replay'))
    this.connect()
  }

  /** Nothing is sent, and nobody dialled, until `resume`. */
  hold(): void {
    if (this.#phase === 'stopped') return
    this.#isHeld = true
    this.#disconnect(new ShoalError({ code: 'CLOSED' }, 'the volume is attached anew'))
  }

  resume(): void {
    this.#isHeld = false
    this.connect()
  }

  /** Removes and returns all that waits for chunks; while held, that is all there is of it. */
  takeAllWaiting(): LinkRequest[] {
    return this.#waiting.takeAll()
  }

  /** Starts to connect, if nothing is under way. */
  connect(): void {
    if (this.#isHeld) return
    if (this.#phase === 'down' && this.#backOff === undefined) void this.#dial()
  }

  /** The node has come (back) into sight: no use in waiting longer. */
  wake(): void {
    if (this.#backOff === undefined) return
    this.#backOff.cancel()
    this.#backOff = undefined
    this.connect()
  }

  /** Ends the link; whatever waits fails with `reason`. */
  stop(reason: Error): void {
    if (this.#phase === 'stopped') return
    this.#disconnect(reason)
    this.#phase = 'stopped'
    for (const request of this.#waiting.extract(() => true)) request.failed(reason, false)
    this.#inFlight.expireDoomed()
  }

  /** Gives up what waited too long; resets a silent connection; keeps an idle one alive. */
  sweep(nowMs: number): void {
    if (this.#phase === 'stopped') return
    this.#expire(nowMs)
    if (this.#channel === undefined) {
      this.connect()
      return
    }
    const { linkResetMs, keepAliveMs } = this.#context.options
    const quietMs = nowMs - Math.max(this.#heardAt, this.#greetedAt)
    if (this.#inFlight.size > 0 && quietMs > linkResetMs) {
      this.#reset(new ShoalError({ code: 'TIMEOUT', afterMs: linkResetMs }, 'no answer'))
    } else if (this.#phase === 'open' && quietMs >= keepAliveMs && !this.#isPinged) {
      this.#isPinged = true
      this.submit(pingRequest(this.#context, nowMs))
    }
  }

  isTooOld(request: { readonly startedAt: number }, nowMs: number): boolean {
    const { ioTimeoutMs } = this.#context.options
    const silentMs = nowMs - Math.max(request.startedAt, this.#heardAt)
    return silentMs > ioTimeoutMs || nowMs - request.startedAt > ioTimeoutMs * IO_AGE_FACTOR
  }

  async #dial(): Promise<void> {
    const dial = ++this.#dials
    this.#phase = 'dialling'
    const isCurrent = (): boolean => dial === this.#dials
    try {
      const channel = await this.#context.open(this.node, {
        answered: answer => isCurrent() && this.#answered(answer),
        drained: () => isCurrent() && this.#drained(),
        closed: reason => isCurrent() && this.#reset(reason)
      })
      if (!isCurrent()) return channel.close(new ShoalError({ code: 'CLOSED' }, 'not needed'))
      this.#channel = channel
      this.#greet()
    } catch (error) {
      if (isCurrent()) this.#reset(error as Error)
    }
  }

  #greet(): void {
    this.#phase = 'greeting'
    this.#isBlocked = false
    this.#isPinged = false
    this.#greetedAt = this.#context.clock.monotonicMs()
    this.#inFlight.begin(this.#context.nextSession())
    const hello = helloRequest(this.#context, this.#greetedAt)
    hello.answered = answer => this.#greeted(answer)
    this.#send(hello)
  }

  #greeted(answer: Answer): void {
    const { incarnation } = answer
    assert(incarnation !== undefined, 'an answered hello names the incarnation')
    const why = startProblem(this.node, this.#latest, incarnation)
    if (why !== undefined) {
      this.#context.fail(new ShoalError({ code: 'QUARANTINED', why }, why))
      return
    }
    this.#latest = incarnation
    this.#inFlight.greeted()
    if (this.#phase !== 'greeting') return
    if (!this.#restoration.isNeeded(incarnation)) {
      this.#open(incarnation)
      return
    }
    this.#context.log.info(
      { node: this.node, changes: this.buffer.length, incarnation: incarnation.number },
      'the shard restarted: replaying what it may have forgotten'
    )
    this.#phase = 'replaying'
    this.#restoration.begin(this.#greetedAt, {
      pump: () => this.#pump(),
      done: () => this.#open(incarnation),
      refused: error => this.#replayRefused(error)
    })
  }

  /** It is tried again for as long as it takes: what is in the buffer is nowhere else. */
  #replayRefused(error: Error): void {
    const trouble = `it cannot take back what it forgot when it restarted: ${error.message}`
    if (this.trouble !== trouble) this.#context.log.warn({ node: this.node }, trouble)
    this.#restoration.trouble = trouble
    this.#reset(error)
  }

  #open(incarnation: Incarnation): void {
    this.#restoration.done(incarnation)
    this.#phase = 'open'
    this.#failures = 0
    this.#pump()
  }

  #send(request: LinkRequest): void {
    assert(this.#channel !== undefined, 'requests are sent on a connection')
    const requestId = this.#inFlight.add(request)
    request.sending?.()
    const { chunk, epoch, op, flags, offsetBytes, lengthBytes, crcs, data } = request
    const hasRoom = this.#channel.send({
      op,
      flags,
      requestId,
      token: this.#context.token,
      chunk,
      epoch,
      offsetBytes,
      lengthBytes,
      crcs,
      data,
      session: op === Op.hello ? this.#inFlight.session : 0
    })
    if (!hasRoom) this.#isBlocked = true
  }

  #isFull(): boolean {
    return this.#isBlocked || this.#inFlight.size >= LINK_IN_FLIGHT
  }

  #pump(): void {
    const queue = this.#phase === 'replaying' ? this.#restoration.unsent : this.#waiting.unsent
    const { phase } = this
    if (phase !== 'open' && phase !== 'replaying') return
    while (!this.#isFull() && this.#phase === phase) {
      const request = queue.take()
      if (request === undefined) return
      this.#send(request)
    }
  }

  #drained(): void {
    this.#isBlocked = false
    this.#pump()
  }

  #answered(answer: Answer): void {
    this.#heardAt = this.#context.clock.monotonicMs()
    this.#isPinged = false
    const request = this.#inFlight.get(answer.requestId)
    if (request === undefined) return // given up meanwhile
    if (answer.op !== request.op) {
      const problem = 'an answer to another operation'
      this.#reset(new ShoalError({ code: 'BAD_MESSAGE', protocol: 'shard-io' }, problem))
      return
    }
    this.#inFlight.answered(answer.requestId, request)
    if (answer.status === Status.ok) request.answered(answer)
    else this.#refusals.refused(request, answer)
    if (this.#waiting.unsent.length > 0 || this.#phase === 'replaying') this.#pump()
  }

  #reset(reason: Error): void {
    if (this.#phase === 'stopped') return
    this.#disconnect(reason)
    const { clock, random, log } = this.#context
    const backOffMs = Math.min(LINK_BACK_OFF_MAX_MS, LINK_BACK_OFF_MIN_MS * 2 ** this.#failures)
    this.#failures = Math.min(this.#failures + 1, 16)
    log.debug({ node: this.node, why: messageOf(reason) }, 'connection to the shard lost')
    this.#backOff = clock.after(backOffMs * (0.5 + random.fraction()), () => {
      this.#backOff = undefined
      this.connect()
    })
  }

  /** Ends the connection; its unanswered requests go back to the front, in their order. */
  #disconnect(reason: Error): void {
    this.#dials++
    this.#phase = 'down'
    this.#backOff?.cancel()
    this.#backOff = undefined
    const channel = this.#channel
    this.#channel = undefined
    channel?.close(reason)
    this.#restoration.cancel()
    this.#waiting.unsent.putFirst(this.#inFlight.unanswered().filter(isKept))
  }

  #expire(nowMs: number): void {
    const isOld = (request: LinkRequest): boolean =>
      isKept(request) && this.isTooOld(request, nowMs)
    const old = [...this.#waiting.extract(isOld), ...this.#inFlight.extract(isOld)]
    if (old.length === 0) return
    const { ioTimeoutMs } = this.#context.options
    const error = new ShoalError(
      { code: 'TIMEOUT', afterMs: ioTimeoutMs },
      `the shard on ${this.node} did not answer in time`
    )
    this.#inFlight.giveUp(old, error)
    // A greater session settles at the shard what was given up here.
    if (this.#inFlight.hasDoomed && this.#phase === 'open') this.#reset(error)
  }
}
