/**
 * A volume held by this gateway: the block device, and what happens to it as a whole.
 *
 *   write, trim, zero --> changes.ts --\
 *   read, status -------> reader.ts ----> links.ts --> one ShardLink per node
 *   flush --------------> the Flusher of every link that has something unflushed
 *
 *   serving --detach--> detaching --flushed--> detached
 *      \__a shard knows a greater token--> fenced
 *      \__a shard's store is an older copy, or a second one--> failed
 *
 * Invariants: what is answered is as block-device.ts promises; once fenced or failed nothing is served or
 * sent any more, reads included, and never again; a detach that could not flush leaves it serving.
 */
import type { Granted } from '../../protocols/attach/machine.ts'
import { forgottenToken } from '../../protocols/attach/starts.ts'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import type { ApprovalAnswer, ApprovalRequest } from '../../protocols/handoff/calls.ts'
import type { NodeId, Token, VolumeId } from '../../protocols/ids.ts'
import { Flag, Op } from '../../protocols/shard-io/messages.ts'
import type { DeviceExtent } from '../block-device.ts'
import { CUTOVER_RETRY_MS, CUTOVER_WAIT_MS, DETACH_CUTOVER_WAIT_MS } from '../limits.ts'
import type { Timer } from '../ports.ts'
import { Changes } from './changes.ts'
import { Cutovers } from './cutovers.ts'
import { currentLayout, growVolume } from './grow.ts'
import type { JobOwner } from './job.ts'
import { Layout } from './layout.ts'
import { Links, type LinksParts } from './links.ts'
import { PatientClock } from './patient-clock.ts'
import { Reader } from './reader.ts'
import type { OutcomeCalls, ShardCalls } from './shard-calls.ts'
import type { Attachment, AttachmentState, AttachmentStats } from './types.ts'
import { whoTookIt } from './who-took-it.ts'

export type AttachmentParts = Pick<LinksParts, 'clock' | 'random' | 'log' | 'options' | 'open'> & {
  readonly granted: Granted
  readonly calls: ShardCalls
  readonly outcomes: OutcomeCalls
  /** Monotonic ms between looks at what waits. */
  readonly sweepMs: number
  /** The volume grew, durably on all shards. */
  readonly grown: (before: Layout, after: Layout) => void
}

export class VolumeAttachment implements Attachment, JobOwner {
  readonly volume: VolumeId
  readonly token: Token
  readonly since: number
  readonly #parts: AttachmentParts
  readonly #clock: PatientClock
  readonly #links: Links
  readonly #changes: Changes
  readonly #reader: Reader
  readonly #cutovers: Cutovers
  #state: AttachmentState = 'serving'
  #isDetaching = false
  #reason: string | undefined
  #failure: ShoalError | undefined
  readonly #listeners: Array<(state: AttachmentState) => void> = []
  #inFlight = 0
  #idle: (() => void) | undefined
  #sweeper: Timer | undefined
  #growing: Promise<void> | undefined
  #detached: Promise<void> | undefined
  #refreshing: Promise<void> | undefined
  #readOperations = 0
  #writeOperations = 0
  #readBytes = 0
  #writtenBytes = 0
  #flushes = 0

  constructor(parts: AttachmentParts) {
    const { granted, random, log, options, open } = parts
    const clock = new PatientClock(parts.clock, parts.sweepMs)
    this.#parts = parts
    this.#clock = clock
    this.volume = granted.spec.id
    this.token = granted.token
    this.since = clock.now()
    this.#links = new Links({
      layout: new Layout(granted.spec, granted.sizeBytes, granted.placement),
      token: granted.token,
      clock,
      random,
      log,
      options,
      open,
      starts: granted.starts,
      fence: (node, tokenCounter) => this.#fence(node, tokenCounter),
      fail: error => this.#fail(error),
      freed: bytes => this.#changes.freed(bytes),
      refresh: () => this.#refresh(),
      lost: (chunk, node) => this.#cutovers.lost(chunk, node)
    })
    this.#changes = new Changes(this.#links, this)
    this.#reader = new Reader(this.#links, this)
    this.#cutovers = new Cutovers({
      links: this.#links,
      changes: this.#changes,
      calls: parts.calls,
      outcomes: parts.outcomes,
      clock,
      random,
      log,
      token: () => this.token,
      isHolder: () => this.#state === 'serving' && !this.#isDetaching
    })
    this.#sweep()
  }

  sizeBytes(): number {
    return this.#links.layout.sizeBytes
  }

  read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array[]> {
    const refusal = this.#refusal(offsetBytes, lengthBytes)
    if (refusal !== undefined) return Promise.reject(refusal)
    if (lengthBytes === 0) return Promise.resolve([])
    this.#inFlight++
    this.#readOperations++
    this.#readBytes += lengthBytes
    return this.#reader.read(offsetBytes, lengthBytes)
  }

  write(offsetBytes: number, data: Uint8Array, options: { fua: boolean }): Promise<void> {
    this.#writtenBytes += data.length
    return this.#change(Op.write, options.fua ? Flag.fua : 0, offsetBytes, data.length, data)
  }

  trim(offsetBytes: number, lengthBytes: number, options: { fua: boolean }): Promise<void> {
    return this.#change(Op.trim, options.fua ? Flag.fua : 0, offsetBytes, lengthBytes)
  }

  zero(
    offsetBytes: number,
    lengthBytes: number,
    options: { fua: boolean; allocate: boolean }
  ): Promise<void> {
    const flags = (options.fua ? Flag.fua : 0) | (options.allocate ? Flag.allocate : 0)
    return this.#change(Op.zero, flags, offsetBytes, lengthBytes)
  }

  async flush(): Promise<void> {
    const refusal = this.#refusal(0, 0)
    if (refusal !== undefined) throw refusal
    this.#flushes++
    await this.#links.flush()
  }

  status(offsetBytes: number, lengthBytes: number): Promise<DeviceExtent[]> {
    const refusal = this.#refusal(offsetBytes, lengthBytes)
    if (refusal !== undefined) return Promise.reject(refusal)
    if (lengthBytes === 0) return Promise.resolve([])
    this.#inFlight++
    return this.#reader.status(offsetBytes, lengthBytes)
  }

  state(): AttachmentState {
    return this.#state
  }

  reason(): string | undefined {
    return this.#reason
  }

  /** Why the state is failed. */
  failure(): ShoalError | undefined {
    return this.#failure
  }

  onState(listener: (state: AttachmentState) => void): void {
    this.#listeners.push(listener)
  }

  stats(): AttachmentStats {
    let replayBytes = 0
    let replayEntries = 0
    for (const { buffer } of this.#links.all()) {
      replayBytes += buffer.costBytes
      replayEntries += buffer.length
    }
    return {
      readOperations: this.#readOperations,
      writeOperations: this.#writeOperations,
      readBytes: this.#readBytes,
      writtenBytes: this.#writtenBytes,
      flushes: this.#flushes,
      inFlight: this.#inFlight,
      replayBytes,
      replayEntries,
      silent: this.#links.silent(this.#clock.monotonicMs())
    }
  }

  async grow(sizeBytes: number): Promise<void> {
    const refusal = this.#refusal(0, 0)
    if (refusal !== undefined) throw refusal
    const before = this.#growing
    const growing = (async () => {
      await before?.catch(() => {})
      try {
        await this.#closeCutovers('the volume is growing')
        const { layout } = this.#links
        const grown = await growVolume(layout, this.token, sizeBytes, this.#parts.calls)
        this.#links.layout = grown
        this.#parts.grown(layout, grown)
      } finally {
        this.#cutovers.reopen()
      }
    })()
    this.#growing = growing
    await growing
  }

  /** A call of handoff-approval about this volume, from a member. */
  approval(from: NodeId, request: ApprovalRequest): Promise<ApprovalAnswer> {
    return this.#cutovers.answer(from, request)
  }

  detach(): Promise<void> {
    if (this.#state === 'fenced' || this.#state === 'failed') this.#enter('detached')
    if (this.#state !== 'serving') return Promise.resolve()
    this.#detached ??= this.#detach()
    return this.#detached
  }

  /** Ends it without a word to the shards: the process is going down, or the attach failed. */
  abandon(why: string): void {
    this.#end('detached', why, new ShoalError({ code: 'CLOSED' }, why))
  }

  /** A node came into sight. */
  peerConnected(node: NodeId): void {
    for (const link of this.#links.all()) if (link.node === node) link.wake()
  }

  /** Flushes one shard whatever is known of it: how an attach ends. */
  flushShard(node: NodeId): Promise<void> {
    return this.#links.to(node).flusher.flush()
  }

  jobEnded(): void {
    this.#inFlight--
    if (this.#inFlight > 0 || this.#idle === undefined) return
    this.#idle()
    this.#idle = undefined
  }

  #change(op: Op, flags: number, offset: number, length: number, data?: Uint8Array): Promise<void> {
    const refusal = this.#refusal(offset, length)
    if (refusal !== undefined) return Promise.reject(refusal)
    if (length === 0) return Promise.resolve()
    this.#inFlight++
    this.#writeOperations++
    return this.#changes.change(op, flags, offset, length, data)
  }

  #refusal(offset: number, length: number): ShoalError | undefined {
    if (this.#state === 'fenced') {
      return new ShoalError({ code: 'FENCED', by: this.#reason ?? '' }, this.#reason ?? 'fenced')
    }
    if (this.#state === 'failed' && this.#failure !== undefined) return this.#failure
    if (this.#state !== 'serving' || this.#isDetaching) {
      return new ShoalError({ code: 'CLOSED' }, 'the volume is being detached')
    }
    const isInside = offset >= 0 && length >= 0 && offset + length <= this.sizeBytes()
    if (isInside && Number.isInteger(offset) && Number.isInteger(length)) return undefined
    return new ShoalError({ code: 'OUT_OF_RANGE' }, 'the range is not inside the volume')
  }

  async #closeCutovers(why: string): Promise<void> {
    if (await this.#cutovers.close(why, CUTOVER_WAIT_MS)) return
    const retryAfterMs = CUTOVER_RETRY_MS
    throw new ShoalError({ code: 'BUSY', retryAfterMs }, 'a chunk of the volume is being moved')
  }

  async #detach(): Promise<void> {
    this.#isDetaching = true
    try {
      if (this.#inFlight > 0) await new Promise<void>(resolve => (this.#idle = resolve))
      await this.#growing?.catch(() => {})
      // One whose outcome nobody tells goes on without us: nothing is sent to its chunk any more.
      await this.#cutovers.close('the volume is being detached', DETACH_CUTOVER_WAIT_MS)
      await this.#links.flush()
    } catch (error) {
      this.#isDetaching = false
      this.#cutovers.reopen()
      this.#detached = undefined
      throw error
    }
    const nodes = [...this.#links.all()].map(link => link.node)
    const call = { call: 'detach', volume: this.volume, token: this.token } as const
    const told = await Promise.allSettled(nodes.map(node => this.#parts.calls(node, call)))
    const silent = nodes.filter((_, i) => told[i]?.status === 'rejected')
    if (silent.length > 0)
      this.#parts.log.warn({ silent }, 'some shards were not told of the detach')
    this.abandon('the volume was detached')
  }

  #fence(node: NodeId, tokenCounter: number): void {
    if (this.#state !== 'serving') return
    if (tokenCounter < this.token.counter) {
      const why = forgottenToken(node)
      this.#fail(new ShoalError({ code: 'QUARANTINED', why }, why))
      return
    }
    const fault = { code: 'FENCED', by: 'another gateway' } as const
    const error = new ShoalError(fault, 'another gateway took the volume')
    this.#end('fenced', messageOf(error), error)
    this.#parts.log.warn({ volume: this.volume, node }, 'fenced: another gateway took the volume')
    void this.#learnWhoTookIt(node)
  }

  async #learnWhoTookIt(node: NodeId): Promise<void> {
    const { calls, log } = this.#parts
    this.#reason = (await whoTookIt(node, this.volume, calls, log)) ?? this.#reason
  }

  #fail(error: ShoalError): void {
    if (this.#state !== 'serving') return
    this.#failure = error
    this.#end('failed', error.message, error)
    this.#parts.log.error({ volume: this.volume, why: error.message }, 'the volume is not served')
  }

  #end(state: AttachmentState, reason: string, error: Error): void {
    if (this.#state !== 'serving') return
    this.#state = state
    this.#reason = reason
    this.#sweeper?.cancel()
    this.#changes.stop(error)
    this.#links.stop(error)
    this.#cutovers.stop()
    this.#enter(state)
  }

  #enter(state: AttachmentState): void {
    this.#state = state
    for (const listener of this.#listeners) listener(state)
  }

  #sweep(): void {
    this.#sweeper = this.#clock.after(this.#parts.sweepMs, () => {
      this.#clock.swept()
      const now = this.#clock.monotonicMs()
      this.#changes.sweep(now)
      this.#links.sweep(now)
      if (this.#state === 'serving') this.#sweep()
    })
  }

  /** A shard said that it does not hold what we thought: ask all of them what they hold now. */
  #refresh(): void {
    this.#refreshing ??= this.#askForLayout().finally(() => {
      this.#refreshing = undefined
    })
  }

  async #askForLayout(): Promise<void> {
    const { layout } = this.#links
    const found = await currentLayout(layout, this.token, this.#parts.calls)
    if (found !== undefined && this.#links.layout === layout) this.#links.adopt(found)
  }
}
