/**
 * A volume held by this gateway: the block device, and what happens to it as a whole.
 *
 *   users --> iops-gate.ts (only where the volume has a limit)
 *   write, trim, zero --> changes.ts --\
 *   read, status -------> reader.ts ----> links.ts --> one ShardLink per node
 *   flush --------------> the Flusher of every link that has something unflushed
 *
 *   serving --detach--> detaching --flushed--> detached
 *      \__a shard knows another gateway's token--> fenced     (only a mover's: regain.ts, and on)
 *      \__a shard's store is an older copy, or a second one--> failed
 *
 * Invariants: what is answered is as block-device.ts promises; once fenced or failed nothing is served or
 * sent any more, reads included, and never again; a detach that could not flush leaves it serving.
 */
import type { Granted } from '../../protocols/attach/machine.ts'
import { forgottenToken } from '../../protocols/attach/starts.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { ApprovalAnswer, ApprovalRequest } from '../../protocols/handoff/calls.ts'
import type { NodeId, Nonce, Token, VolumeId } from '../../protocols/ids.ts'
import { Flag, Op } from '../../protocols/shard-io/messages.ts'
import type { DeviceExtent, DeviceUser } from '../block-device.ts'
import { DETACH_CUTOVER_WAIT_MS } from '../limits.ts'
import type { Timer } from '../ports.ts'
import type { AttachmentParts } from './attachment-parts.ts'
import { AttachmentUser } from './attachment-user.ts'
import { Changes } from './changes.ts'
import { Cutovers } from './cutovers.ts'
import { IopsGate } from './iops-gate.ts'
import type { JobOwner } from './job.ts'
import { Layout } from './layout.ts'
import { LayoutKeeper } from './layout-keeper.ts'
import { Links } from './links.ts'
import { Meter } from './meter.ts'
import { PatientClock } from './patient-clock.ts'
import { Reader } from './reader.ts'
import { Regain } from './regain.ts'
import type { Attachment, AttachmentState, AttachmentStats } from './types.ts'
import { whoTookIt } from './who-took-it.ts'

export class VolumeAttachment implements Attachment, JobOwner {
  readonly volume: VolumeId
  readonly since: number
  readonly #parts: AttachmentParts
  readonly #clock: PatientClock
  readonly #links: Links
  readonly #changes: Changes
  readonly #reader: Reader
  readonly #cutovers: Cutovers
  readonly #regain: Regain
  readonly #keeper: LayoutKeeper
  readonly #gate: IopsGate
  #isServed = false
  #state: AttachmentState = 'serving'
  #isDetaching = false
  #reason: string | undefined
  #failure: ShoalError | undefined
  readonly #listeners: Array<(state: AttachmentState) => void> = []
  readonly #tokenListeners: Array<(token: Token) => void> = []
  readonly #meter = new Meter()
  #idle: (() => void) | undefined
  #sweeper: Timer | undefined
  #detached: Promise<void> | undefined

  constructor(parts: AttachmentParts) {
    const { granted, random, log, options, open } = parts
    const clock = new PatientClock(parts.clock, parts.sweepMs)
    this.#parts = parts
    this.#clock = clock
    this.#gate = new IopsGate(parts.clock)
    this.volume = granted.spec.id
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
      refresh: () => this.#keeper.refresh(),
      lost: (chunk, node, movedTo) => this.#cutovers.lost(chunk, node, movedTo)
    })
    this.#changes = new Changes(this.#links, this)
    this.#reader = new Reader(this.#links, this)
    this.#cutovers = new Cutovers({
      links: this.#links,
      changes: this.#changes,
      calls: parts.calls,
      outcomes: parts.outcomes,
      observe: parts.observe,
      clock,
      random,
      log,
      token: () => this.token,
      isHolder: () => this.#state === 'serving' && !this.#isDetaching && !this.#regain.isRunning
    })
    this.#regain = new Regain({
      clock,
      log,
      open: (after, attach, signal) =>
        parts.openAgain(
          { after, attach, since: this.since, nodes: this.#links.layout.nodes },
          signal
        ),
      newAttach: () => Buffer.from(random.bytes(8)).toString('hex') as Nonce,
      granted: won => this.#goOn(won),
      over: error => this.#lost(error)
    })
    this.#keeper = new LayoutKeeper(this.#links, this.#cutovers, parts)
    this.#sweep()
  }

  get token(): Token {
    return this.#links.token
  }

  /** From now on it is served: a mover that comes between does not end it. */
  begin(): void {
    this.#isServed = true
  }

  user(): DeviceUser {
    return new AttachmentUser(this, this.#gate)
  }

  /** Requests per second of all users together; undefined: no limit. */
  limit(maxIops: number | undefined): void {
    this.#gate.limit(maxIops)
  }

  sizeBytes(): number {
    return this.#links.layout.sizeBytes
  }

  read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array[]> {
    const refusal = this.#refusal(offsetBytes, lengthBytes)
    if (refusal !== undefined) return Promise.reject(refusal)
    if (lengthBytes === 0) return Promise.resolve([])
    this.#meter.inFlight++
    this.#meter.readOperations++
    this.#meter.readBytes += lengthBytes
    return this.#reader.read(offsetBytes, lengthBytes)
  }

  write(offsetBytes: number, data: Uint8Array, options: { fua: boolean }): Promise<void> {
    this.#meter.writtenBytes += data.length
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
    this.#meter.flushes++
    await this.#links.flush()
  }

  status(offsetBytes: number, lengthBytes: number): Promise<DeviceExtent[]> {
    const refusal = this.#refusal(offsetBytes, lengthBytes)
    if (refusal !== undefined) return Promise.reject(refusal)
    if (lengthBytes === 0) return Promise.resolve([])
    this.#meter.inFlight++
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

  onToken(listener: (token: Token) => void): void {
    this.#tokenListeners.push(listener)
  }

  stats(): AttachmentStats {
    let replayBytes = 0
    let replayEntries = 0
    for (const { buffer } of this.#links.all()) {
      replayBytes += buffer.costBytes
      replayEntries += buffer.length
    }
    return {
      ...this.#meter,
      replayBytes,
      replayEntries,
      held: this.#gate.waiting,
      silent: this.#links.silent(this.#clock.monotonicMs())
    }
  }

  async grow(sizeBytes: number): Promise<void> {
    const refusal = this.#refusal(0, 0)
    if (refusal !== undefined) throw refusal
    await this.#regain.settled(this.#parts.options.ioTimeoutMs)
    await this.#keeper.grow(sizeBytes)
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
    this.#meter.inFlight--
    if (this.#meter.inFlight > 0 || this.#idle === undefined) return
    this.#idle()
    this.#idle = undefined
  }

  #change(op: Op, flags: number, offset: number, length: number, data?: Uint8Array): Promise<void> {
    const refusal = this.#refusal(offset, length)
    if (refusal !== undefined) return Promise.reject(refusal)
    if (length === 0) return Promise.resolve()
    this.#meter.inFlight++
    this.#meter.writeOperations++
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

  async #detach(): Promise<void> {
    this.#isDetaching = true
    this.#gate.stop(new ShoalError({ code: 'CLOSED' }, 'the volume is being detached'))
    try {
      if (this.#meter.inFlight > 0) await new Promise<void>(resolve => (this.#idle = resolve))
      await this.#regain.settled(this.#parts.options.ioTimeoutMs)
      await this.#keeper.settled()
      // One whose outcome nobody tells goes on without us: nothing is sent to its chunk any more.
      await this.#cutovers.close('the volume is being detached', DETACH_CUTOVER_WAIT_MS)
      await this.#links.flush()
    } catch (error) {
      this.#isDetaching = false
      this.#gate.resume()
      this.#cutovers.reopen()
      this.#detached = undefined
      throw error
    }
    // A chunk that moved and was not used since is on a node without a link.
    const nodes = [...new Set([...this.#links.known, ...this.#links.layout.nodes])]
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
    if (this.#isServed) {
      // What is approved is void, or committed: the shards tell where the chunks are.
      this.#links.hold()
      this.#cutovers.stop()
      this.#regain.begin(this.token)
      return
    }
    this.#endFenced('another gateway took the volume')
    void this.#learnWhoTookIt(node)
  }

  #endFenced(why: string): void {
    const { volume } = this
    const error = new ShoalError({ code: 'FENCED', by: 'another gateway' }, why)
    this.#end('fenced', why, error)
    this.#parts.log.warn({ volume, why }, 'fenced')
  }

  /** Only movers were there: the volume is held again, and what waited is sent. */
  #goOn({ spec, placement, token, starts }: Granted): void {
    const { log, regained } = this.#parts
    this.#links.rebase(token, new Layout(spec, this.sizeBytes(), placement), starts)
    log.info({ volume: this.volume, token: token.counter }, 'attached anew after a mover')
    regained(token, this.since)
    for (const listener of this.#tokenListeners) listener(token)
  }

  #lost(error: ShoalError): void {
    const { code } = error.fault
    if (code === 'VOLUME_ATTACHED') {
      const { message } = error
      this.#endFenced(`the volume was taken: ${message.slice(0, message.indexOf(';'))}`)
    } else if (code === 'FENCED' || code === 'NOT_FOUND') this.#endFenced(error.message)
    else this.#fail(error)
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
    this.#regain.stop()
    this.#gate.stop(error)
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
}
