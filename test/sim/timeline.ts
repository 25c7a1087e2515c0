/**
 * Simulated time: a queue of events, ordered by instant and then by arrival. One event runs, then
 * every microtask that follows from it, then the next event. Nothing here waits for real time.
 *
 * Invariants: time never goes back; the order of events follows from the calls alone; an event that
 * throws ends the run as a failure.
 */
import { EventHeap, type HeapEvent } from './event-heap.ts'

export type TimelineEvent = HeapEvent

/** So often the event loop of the real process turns: for what it does between its own turns. */
const TURN_EVENTS = 64

export class Timeline {
  nowMs = 0
  /** Events that ran. */
  ran = 0
  readonly #events = new EventHeap()
  readonly #threw: (error: unknown) => void

  constructor(threw: (error: unknown) => void) {
    this.#threw = threw
  }

  after(delayMs: number, task: () => void): TimelineEvent {
    return this.#events.add(this.nowMs + Math.max(0, delayMs), task)
  }

  cancel(event: TimelineEvent): void {
    event.task = undefined
  }

  /** Runs until `isOver` or the instant; true if it was over by then. */
  async run(isOver: () => boolean, untilMs: number): Promise<boolean> {
    await turned()
    while (!isOver()) {
      const next = this.#events.peek()
      if (next === undefined || next.atMs > untilMs) {
        this.nowMs = Math.max(this.nowMs, untilMs)
        return isOver()
      }
      this.#events.pop()
      if (next.task === undefined) continue
      this.nowMs = next.atMs
      this.ran++
      try {
        next.task()
      } catch (error) {
        this.#threw(error)
      }
      await (this.ran % TURN_EVENTS === 0 ? turned() : settled())
    }
    return true
  }
}

/** All microtasks have run: a tick that is asked for by the last of them comes after them all. */
function settled(): Promise<void> {
  return new Promise(resolve => queueMicrotask(() => process.nextTick(resolve)))
}

/** The same, and rejections that nobody handled were reported. */
function turned(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
