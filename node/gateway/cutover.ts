/**
 * One cutover, as the holder's gateway sees it: from the question of the source until it is known
 * where the chunk is. Changes of the chunk stand still behind a barrier all that time; reads go on.
 *
 *   clearing --nothing older in flight, still so--> approved at E --released--> ended: switched
 *      |                                               |  ^_ asks the source, again and again
 *      |__ too slow, no longer so --> ended: refused   |__ aborted --> ended: as before
 *
 * Invariants: between the approval and the end no change of the chunk is sent; a cutover ends by
 * the word of its source (or of the target, if the holder granted it), or with the attachment.
 */
import { messageOf } from '../../protocols/fault.ts'
import {
  type ApprovalAnswer,
  type ApprovalRequest,
  type HandoffOutcome,
  type OutcomeAnswer,
  shortened
} from '../../protocols/handoff/calls.ts'
import type { ObserveStep } from '../../protocols/handoff/steps.ts'
import {
  compareEpochs,
  compareTokens,
  type NodeId,
  type PlacementEpoch,
  type Token
} from '../../protocols/ids.ts'
import {
  CUTOVER_ASK_MAX_MS,
  CUTOVER_ASK_MIN_MS,
  CUTOVER_BARRIER_MS,
  CUTOVER_RETRY_MS,
  CUTOVER_WAIT_MS
} from '../limits.ts'
import type { Clock, Log, Random, Timer } from '../ports.ts'
import type { Barrier } from './barrier.ts'
import type { OutcomeCalls } from './shard-calls.ts'

export type Approve = Extract<ApprovalRequest, { call: 'approve' }>

/** What became of it. A grant is a release too: to the target, at an epoch of ours. */
export type Ending = HandoffOutcome | { readonly is: 'refused' } | { readonly is: 'stopped' }

export interface CutoverParts {
  readonly observe: ObserveStep
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly outcomes: OutcomeCalls
  /** Why it may not be approved now, in words. */
  readonly problem: (request: Approve, source: NodeId) => string | undefined
  /** An epoch of the chunk that was never used. */
  readonly mint: (request: Approve) => PlacementEpoch
  /** A barrier before all newer changes of the chunk. */
  readonly hold: (request: Approve, cleared: () => void) => Barrier
  /** The epoch at which this node holds the chunk now; undefined if it does not. */
  readonly heldAt: (request: Approve, node: NodeId) => Promise<PlacementEpoch | undefined>
  /** Once. It lifts the barrier. */
  readonly ended: (cutover: Cutover, ending: Ending) => void
}

export class Cutover {
  readonly source: NodeId
  readonly answer: Promise<ApprovalAnswer>
  readonly #parts: CutoverParts
  #request: Approve
  #at: 'clearing' | 'approved' | 'ended' = 'clearing'
  #barrier: Barrier | undefined
  #epoch: PlacementEpoch | undefined
  #approvedAtMs = 0
  #answered: (answer: ApprovalAnswer) => void = () => {}
  #timer: Timer | undefined
  #asked = 0
  #isAsking = false
  #isGranting = false
  #isForced = false

  constructor(parts: CutoverParts, request: Approve, source: NodeId) {
    this.#parts = parts
    this.#request = request
    this.source = source
    this.answer = new Promise(resolve => {
      this.#answered = resolve
    })
  }

  get request(): Approve {
    return this.#request
  }

  /** Changes of the chunk stand still until it ends. */
  get isApproved(): boolean {
    return this.#at === 'approved'
  }

  /** The source was not asked, and may have answered changes since the copy. */
  get isForced(): boolean {
    return this.#isForced
  }

  get barrier(): Barrier | undefined {
    return this.#barrier
  }

  begin(): void {
    const { clock, hold, observe } = this.#parts
    observe('holder: stopping changes')
    this.#timer = clock.after(CUTOVER_BARRIER_MS, () => {
      this.#refuse('the changes of the chunk that are in flight did not end in time')
    })
    let isClear = false
    this.#barrier = hold(this.#request, () => {
      isClear = true
      if (this.#barrier !== undefined) this.#cleared()
    })
    // Nothing that is in flight to a target that lost the chunk will ever end: it was set aside.
    if (isClear || this.#request.purpose === 'reclaim') this.#cleared()
  }

  /** The answer to a question that was asked before. */
  answerAgain(): Promise<ApprovalAnswer> {
    return this.isApproved ? Promise.resolve(this.#approval()) : this.answer
  }

  /** Approves it, whoever does not answer: the source is given up. */
  force(): void {
    this.#isForced = true
    this.#barrier = this.#parts.hold(this.#request, () => {})
    this.#approve()
  }

  /** Undoes `force`. */
  giveUp(): void {
    if (this.#at === 'approved') this.#end({ is: 'aborted' })
  }

  /** The source, which released it, takes it back: nothing was sent meanwhile, nothing is now. */
  reclaim(request: Approve): ApprovalAnswer {
    if (this.#request.purpose !== 'reclaim') {
      this.#request = request
      this.#approve()
    }
    return this.#approval()
  }

  /** The source says what became of it. */
  settled(outcome: HandoffOutcome): void {
    if (this.#at !== 'approved' || this.#isGranting) return
    if (outcome.is === 'aborted' && this.#request.purpose === 'reclaim') this.ask()
    else if (outcome.is === 'aborted' || this.#isOurs(outcome)) this.#end(outcome)
    else this.ask()
  }

  /** Something hints that it is decided: asks the source now. */
  ask(): void {
    if (this.#at !== 'approved' || this.#isAsking) return
    this.#timer?.cancel()
    void this.#ask()
  }

  /** The source is given up: the target is granted the chunk, at a new epoch. */
  async grant(): Promise<ApprovalAnswer> {
    const { mint, outcomes } = this.#parts
    const { handoff, chunk, target } = this.#request
    const epoch = mint(this.#request)
    this.#isGranting = true
    try {
      const { token } = epoch
      const answer = await outcomes(target, { call: 'grant', handoff, chunk, token, epoch })
      const heldAt = answer.is === 'held' ? answer.epoch : await this.#grantedBefore(token)
      if (heldAt === undefined) return refused(grantRefusal(answer, target))
      if (this.#at !== 'approved') return { is: 'not-holder' }
      this.#end({ is: 'released', to: target, epoch: heldAt })
      return { is: 'granted', epoch: heldAt }
    } catch (error) {
      return refused(`the target on ${target} did not answer: ${messageOf(error)}`)
    } finally {
      this.#isGranting = false
    }
  }

  /** The attachment is over. */
  stop(): void {
    this.#answered({ is: 'not-holder' })
    if (this.#at !== 'ended') this.#end({ is: 'stopped' })
  }

  /** The answer to an earlier grant was lost: the target holds the chunk at an epoch of ours. */
  async #grantedBefore(token: Token): Promise<PlacementEpoch | undefined> {
    const { target, epoch } = this.#request
    const heldAt = await this.#parts.heldAt(this.#request, target)
    if (heldAt === undefined || compareTokens(heldAt.token, token) !== 0) return undefined
    return compareEpochs(heldAt, epoch) > 0 ? heldAt : undefined
  }

  #cleared(): void {
    if (this.#at !== 'clearing') return
    const problem = this.#parts.problem(this.#request, this.source)
    if (problem === undefined) this.#approve()
    else this.#refuse(problem)
  }

  #approve(): void {
    this.#timer?.cancel()
    this.#epoch = this.#parts.mint(this.#request)
    this.#at = 'approved'
    this.#approvedAtMs = this.#parts.clock.monotonicMs()
    this.#parts.observe('holder: approved')
    this.#answered(this.#approval())
    this.#asked = 0
    this.#askLater()
  }

  #approval(): ApprovalAnswer {
    const epoch = this.#epoch
    return epoch === undefined
      ? { is: 'not-holder' }
      : { is: 'approved', token: epoch.token, epoch }
  }

  #refuse(why: string): void {
    if (this.#at !== 'clearing') return
    this.#answered(refused(why))
    this.#end({ is: 'refused' })
  }

  #askLater(): void {
    const { clock, random } = this.#parts
    const pauseMs = Math.min(CUTOVER_ASK_MAX_MS, CUTOVER_ASK_MIN_MS * 2 ** this.#asked)
    this.#asked = Math.min(this.#asked + 1, 16)
    this.#timer?.cancel()
    this.#timer = clock.after(pauseMs * (0.75 + random.fraction() / 2), () => void this.#ask())
  }

  async #ask(): Promise<void> {
    const { handoff, chunk } = this.#request
    this.#isAsking = true
    try {
      const answer = await this.#parts.outcomes(this.source, { call: 'outcome', handoff, chunk })
      await this.#heard(answer)
    } catch (error) {
      this.#parts.log.debug({ handoff, why: messageOf(error) }, 'the source does not answer')
    } finally {
      this.#isAsking = false
      if (this.#at === 'approved') this.#askLater()
    }
  }

  async #heard(answer: OutcomeAnswer): Promise<void> {
    if (this.#at !== 'approved' || this.#isGranting) return
    if (answer.is === 'released' && this.#isDecided(answer)) this.#end(answer)
    if (answer.is !== 'aborted') return
    const { purpose } = this.#request
    if (purpose === 'pass') this.#end(answer)
    else await this.#lookAtSource()
  }

  #isDecided(outcome: HandoffOutcome & { is: 'released' }): boolean {
    if (this.#isOurs(outcome)) return true
    // The release that is to be taken back is no outcome of taking it back, until that is over.
    const ageMs = this.#parts.clock.monotonicMs() - this.#approvedAtMs
    return this.#request.purpose === 'reclaim' && ageMs > CUTOVER_WAIT_MS
  }

  /** A source that took the chunk back knows of no release any more. */
  async #lookAtSource(): Promise<void> {
    const epoch = await this.#parts.heldAt(this.#request, this.source)
    if (epoch === undefined || this.#at !== 'approved') return
    this.#end({ is: 'released', to: this.source, epoch })
  }

  #isOurs(outcome: HandoffOutcome): boolean {
    if (outcome.is !== 'released' || this.#epoch === undefined) return false
    const { purpose, target } = this.#request
    const to = purpose === 'pass' ? target : this.source
    return outcome.to === to && compareEpochs(outcome.epoch, this.#epoch) === 0
  }

  #end(ending: Ending): void {
    this.#at = 'ended'
    this.#timer?.cancel()
    this.#parts.ended(this, ending)
  }
}

export const NOT_HOLDER = 'this gateway does not hold the volume under that token'

/** The source may ask again. */
export function refused(why: string): ApprovalAnswer {
  if (why === NOT_HOLDER) return { is: 'not-holder' }
  return { is: 'refused', why: shortened(why), retryAfterMs: CUTOVER_RETRY_MS }
}

export function grantRefusal(answer: OutcomeAnswer, target: NodeId): string {
  switch (answer.is) {
    case 'stale':
      return `the target on ${target} knows a greater token: another gateway took the volume`
    case 'failed':
      return `the target on ${target} could not take the chunk: ${answer.why}`
    default:
      return `the target on ${target} has no complete copy of the chunk under this handoff`
  }
}
