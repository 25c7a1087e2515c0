/**
 * A clock that runs faster than time: the *load clock* of the demo and of tests, so that a day passes
 * in minutes. All of load and of balancing runs on the load clock; in production that is the clock
 * itself. I/O, calls to peers and handoffs never do: they take as long as they take, and rates of load
 * stay per second of time, or they could not be compared with what a node can do.
 *
 * Invariants: it goes forward steadily, whatever is done to the clock of the machine after it was made;
 * two of one scale show the same, in any process of one machine; a timer comes LOAD_TICK_MS of time
 * from now at the earliest, so that what happens each second costs no more when seconds are short.
 */
import { assert } from '../protocols/assert.ts'
import { LOAD_TICK_MS } from './limits.ts'
import type { Clock, ClockScale } from './ports.ts'

export function scaledClock(scale: ClockScale, clock: Clock): Clock {
  const { rate, fromMs, startMs } = scale
  assert(rate >= 1 && clock.scale === undefined, 'a clock is made faster, once')
  const sinceMs = clock.now() - clock.monotonicMs() - fromMs
  return {
    now: () => startMs + (clock.monotonicMs() + sinceMs) * rate,
    monotonicMs: () => clock.monotonicMs() * rate,
    after: (delayMs, task) => clock.after(Math.max(LOAD_TICK_MS, delayMs / rate), task),
    soon: task => clock.soon(task),
    scale
  }
}

/** Of its milliseconds, how many pass in one of time. */
export function rateOf(clock: Clock): number {
  return clock.scale?.rate ?? 1
}

/** What no timer of it is shorter than, in its own milliseconds. */
export function leastDelayMs(clock: Clock): number {
  return clock.scale === undefined ? 0 : LOAD_TICK_MS * clock.scale.rate
}
