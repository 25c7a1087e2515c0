// Goal: what moves take beside copying is learned from those that have ended, so that the next begins
// in time; one that took very long, or that copied much, changes little or nothing.
// Method: a clock that the test turns, as time and as the base of a faster one.
import { expect, test } from 'vitest'
import { MoveDelay } from '../../node/balance/move-delay.ts'
import { MEASURED_COPY_BYTES, MOST_DELAY_MS, MOVE_DELAY_MS } from '../../node/limits.ts'
import { scaledClock } from '../../node/scaled-clock.ts'
import { STEP_MS } from '../../protocols/forecast/subject.ts'
import { TurnedClock } from '../support/load-clock.ts'

const BYTES_PER_SECOND = 1_000_000
const MINUTE_MS = 60_000

/** Moves that took so long, one after the other; what is expected of the next. */
function after(tookMs: readonly number[], bytes = 0): number {
  const clock = new TurnedClock(0)
  const delay = new MoveDelay(clock)
  for (const ms of tookMs) {
    const wantedMs = delay.wantedMs()
    clock.turn(ms)
    delay.ended({ state: 'done', bytes: { total: bytes, done: bytes } }, wantedMs, BYTES_PER_SECOND)
  }
  return delay.ms
}

test('before the first move it is about a second of time, by whatever clock', () => {
  expect(new MoveDelay(new TurnedClock(0)).ms).toBe(MOVE_DELAY_MS)
  const fast = scaledClock({ rate: 3_200, fromMs: 0, startMs: 0 }, new TurnedClock(0))
  expect(new MoveDelay(fast).ms).toBe(3_200 * MOVE_DELAY_MS)
})

test('it becomes what nearly all moves stay below, whether that is more or less', () => {
  const took = Array.from({ length: 40 }, (_, i) => 4_000 + 500 * (i % 5))
  expect(after(took)).toBeGreaterThan(5_500)
  expect(after(took)).toBeLessThan(9_000)
  expect(after(took.map(ms => ms / 40))).toBeLessThan(300)
  expect(after(took.slice(0, 8))).toBeGreaterThan(4_000)
})

test('a move that took very long counts for little, and many of them up to a bound', () => {
  const usual = Array.from({ length: 20 }, () => 800)
  const once = after([...usual, 50 * MINUTE_MS])
  expect(once).toBeLessThan(3 * 800)
  expect(after([...usual, 50 * MINUTE_MS, ...usual])).toBeLessThan(1_000)
  expect(after(Array.from({ length: 50 }, () => 50 * MINUTE_MS))).toBe(MOST_DELAY_MS)
})

test('copying is not part of it, and a large move says nothing of it, nor one that was not done', () => {
  const bytes = MEASURED_COPY_BYTES - 1
  const copyMs = (bytes / BYTES_PER_SECOND) * 1000
  expect(after([copyMs + 1_000], bytes)).toBe(after([1_000]))
  expect(after([10 * MINUTE_MS], MEASURED_COPY_BYTES)).toBe(MOVE_DELAY_MS)
  const delay = new MoveDelay(new TurnedClock(0))
  delay.ended({ state: 'failed', bytes: { total: 0, done: 0 } }, -MINUTE_MS, BYTES_PER_SECOND)
  expect(delay.ms).toBe(MOVE_DELAY_MS)
})

test('what a look comes later than a step after the one before it counts as well', () => {
  const clock = new TurnedClock(0)
  const delay = new MoveDelay(clock)
  expect(delay.wantedMs()).toBe(0)
  delay.looked()
  clock.turn(STEP_MS)
  delay.looked()
  expect(delay.wantedMs()).toBe(STEP_MS)
  clock.turn(STEP_MS + MINUTE_MS)
  delay.looked()
  expect(delay.wantedMs()).toBe(2 * STEP_MS)
  clock.turn(50 * STEP_MS)
  delay.looked()
  expect(delay.wantedMs()).toBe(clock.monotonicMs() - STEP_MS)
})
