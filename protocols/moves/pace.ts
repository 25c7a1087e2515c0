/**
 * How fast background copying may go: a controller that listens to what copying does to clients.
 * A pure function of samples taken every PACE_TICK_MS; node/moves/pace.ts keeps the token bucket.
 *
 *   alone    no client was heard lately: up to the bound, at once
 *   sharing  rounds of about ten ticks: in the last two nothing is sent, and the last of them shows
 *            what clients get without us (the baseline). Rounds differ in length, so that nothing
 *            periodic falls into step with them. The rate begins low and grows by steps; it is
 *            halved at once when the mean latency of clients, or the lag of the event loop, rises
 *            over its baseline, and when clients stop getting answers.
 *
 *   copy copy copy copy copy copy copy copy quiet QUIET(measured) | copy ...
 *
 * The scheme is additive increase, multiplicative decrease (Chiu and Jain, 1989) with latency as
 * the signal, as in TCP Vegas and LEDBAT.
 *
 * Invariants: the rate never exceeds the bound, and is never below the smaller of bound and floor;
 * it grows only while it was used, and never without a baseline; trouble halves it within
 * PACE_JUDGED_TICKS + PACE_SETTLE_TICKS + PACE_QUIET_TICKS ticks, which is under a second.
 */
import { assert } from '../assert.ts'
import {
  PACE_ACTIVE_MS,
  PACE_FLOOR_BYTES,
  PACE_JUDGED_REQUESTS,
  PACE_JUDGED_TICKS,
  PACE_LAG_MS,
  PACE_QUIET_TICKS,
  PACE_ROUND_TICKS,
  PACE_SETTLE_TICKS,
  PACE_SLACK_MS,
  PACE_SLACK_SHARE,
  PACE_START_BYTES,
  PACE_STEP_BYTES,
  PACE_TICK_MS
} from './limits.ts'

/** What happened since the last sample. */
export interface PaceSample {
  /** Answered to clients, and the sum of their latencies. */
  readonly requests: number
  readonly latencyMsSum: number
  /** By how much the event loop was late. */
  readonly lagMs: number
  /** What copying sent. */
  readonly sentBytes: number
  /** What it may send at most, per second; Infinity without a bound. */
  readonly bound: number
}

interface Mean {
  readonly requests: number
  readonly latencyMsSum: number
  readonly ticks: number
  readonly lagMs: number
}

/** What clients get without copying, smoothed. */
interface Baseline {
  readonly meanMs: number
  readonly deviationMs: number
  readonly lagMs: number
  readonly requestsPerTick: number
}

export interface PaceState {
  /** Bytes per second; 0 in a quiet tick. */
  readonly rate: number
  /** The rate of the next tick that copies. */
  readonly target: number
  /** Ticks since clients were last heard; undefined: never, or not lately. */
  readonly silentTicks: number | undefined
  /** Ticks left of the round, while clients are active; and how many rounds there were. */
  readonly ticksLeft: number
  readonly round: number
  readonly baseline: Baseline | undefined
  /** Since the last judgement. */
  readonly seen: Mean
  readonly usedBytes: number
  /** Ticks until the next judgement. */
  readonly settling: number
}

const ACTIVE_TICKS = PACE_ACTIVE_MS / PACE_TICK_MS
/** A new baseline counts this much; a deviation half of that, as round trips are smoothed in TCP. */
const BASELINE_WEIGHT = 0.3
const DEVIATION_WEIGHT = 0.15
const DEVIATIONS = 2
/** The rate counts as used from this share on. */
const USED_SHARE = 0.5
const NOTHING_SEEN: Mean = { requests: 0, latencyMsSum: 0, ticks: 0, lagMs: 0 }

/** Nothing is known of clients yet: slowly, until the first sample. */
export function startPace(bound: number): PaceState {
  const rate = within(PACE_START_BYTES, bound)
  return {
    rate,
    target: rate,
    silentTicks: undefined,
    ticksLeft: PACE_ROUND_TICKS,
    round: 0,
    baseline: undefined,
    seen: NOTHING_SEEN,
    usedBytes: 0,
    settling: 0
  }
}

/** The state after one more tick. */
export function stepPace(state: PaceState, sample: PaceSample): PaceState {
  assert(sample.requests >= 0 && sample.latencyMsSum >= 0, 'counters only grow')
  const silentTicks = silence(state, sample)
  if (silentTicks === undefined) return alone(sample.bound)
  if (state.silentTicks === undefined) return beginSharing(sample)
  const judged = isQuiet(state)
    ? learn({ ...state, silentTicks }, sample)
    : judge({ ...state, silentTicks }, sample)
  const target = within(judged.target, sample.bound)
  const next = { ...judged, ...nextTick(judged), target }
  return { ...next, rate: isQuiet(next) ? 0 : target }
}

function silence(state: PaceState, sample: PaceSample): number | undefined {
  if (sample.requests > 0) return 0
  if (state.silentTicks === undefined || state.silentTicks + 1 >= ACTIVE_TICKS) return undefined
  return state.silentTicks + 1
}

function alone(bound: number): PaceState {
  return { ...startPace(bound), rate: bound, target: bound }
}

/** Clients came: first the baseline, so that what copying does to them can be told from it. */
function beginSharing({ bound }: PaceSample): PaceState {
  return { ...startPace(bound), silentTicks: 0, ticksLeft: PACE_QUIET_TICKS, rate: 0 }
}

function isQuiet(state: PaceState): boolean {
  return state.silentTicks !== undefined && state.ticksLeft <= PACE_QUIET_TICKS
}

/** Rounds of one tick less, the plain length, and one tick more. */
function nextTick({ ticksLeft, round }: PaceState): Pick<PaceState, 'ticksLeft' | 'round'> {
  if (ticksLeft > 1) return { ticksLeft: ticksLeft - 1, round }
  return { ticksLeft: PACE_ROUND_TICKS - 1 + ((round + 1) % 3), round: round + 1 }
}

/** Of the quiet ticks only the last one counts: before it, what was sent is still being stored. */
function learn(state: PaceState, sample: PaceSample): PaceState {
  if (state.ticksLeft > 1 || sample.requests === 0) return unjudged(state)
  const meanMs = sample.latencyMsSum / sample.requests
  const { baseline } = state
  if (baseline === undefined) {
    return unjudged({
      ...state,
      baseline: {
        meanMs,
        deviationMs: meanMs * (PACE_SLACK_SHARE / DEVIATIONS),
        lagMs: sample.lagMs,
        requestsPerTick: sample.requests
      }
    })
  }
  const blend = (old: number, now: number, weight: number) => old + (now - old) * weight
  const deviation = Math.abs(meanMs - baseline.meanMs)
  return unjudged({
    ...state,
    baseline: {
      meanMs: blend(baseline.meanMs, meanMs, BASELINE_WEIGHT),
      deviationMs: blend(baseline.deviationMs, deviation, DEVIATION_WEIGHT),
      lagMs: blend(baseline.lagMs, sample.lagMs, BASELINE_WEIGHT),
      requestsPerTick: blend(baseline.requestsPerTick, sample.requests, BASELINE_WEIGHT)
    }
  })
}

function unjudged(state: PaceState): PaceState {
  return { ...state, seen: NOTHING_SEEN, usedBytes: 0 }
}

function judge(state: PaceState, sample: PaceSample): PaceState {
  if (state.settling > 0) return unjudged({ ...state, settling: state.settling - 1 })
  const { baseline } = state
  const seen = {
    requests: state.seen.requests + sample.requests,
    latencyMsSum: state.seen.latencyMsSum + sample.latencyMsSum,
    ticks: state.seen.ticks + 1,
    lagMs: Math.max(state.seen.lagMs, sample.lagMs)
  }
  const usedBytes = state.usedBytes + sample.sentBytes
  const next = { ...state, seen, usedBytes }
  if (baseline === undefined) return unjudged(next)
  if (isSlow(seen, baseline)) return halve(next, sample.bound)
  const isEnough = seen.requests >= PACE_JUDGED_REQUESTS || seen.ticks >= PACE_JUDGED_TICKS
  if (!isEnough) return next
  const spent = usedBytes / ((seen.ticks * PACE_TICK_MS) / 1000)
  const isUsed = spent >= state.target * USED_SHARE
  return unjudged(isUsed ? { ...next, target: state.target + PACE_STEP_BYTES * seen.ticks } : next)
}

function halve(state: PaceState, bound: number): PaceState {
  const target = within(state.target / 2, bound)
  return unjudged({ ...state, target, settling: PACE_SETTLE_TICKS })
}

/** Whether clients are worse off than without copying. */
function isSlow(seen: Mean, baseline: Baseline): boolean {
  if (seen.lagMs > baseline.lagMs + PACE_LAG_MS) return true
  const isBusy = baseline.requestsPerTick >= PACE_JUDGED_REQUESTS
  if (seen.requests === 0) return isBusy && seen.ticks >= 2
  const isEnough = seen.requests >= PACE_JUDGED_REQUESTS || seen.ticks >= PACE_JUDGED_TICKS
  return isEnough && seen.latencyMsSum / seen.requests > limitMs(baseline)
}

/** The highest mean that is still taken for chance: never more than twice the baseline. */
function limitMs({ meanMs, deviationMs }: Baseline): number {
  const slack = Math.max(PACE_SLACK_SHARE * meanMs, DEVIATIONS * deviationMs)
  return meanMs + Math.min(slack, meanMs) + PACE_SLACK_MS
}

function within(rate: number, bound: number): number {
  assert(bound > 0, 'a bound lets something through')
  return Math.min(bound, Math.max(PACE_FLOOR_BYTES, rate))
}
