/**
 * Simulated time: a queue of events, ordered by instant and then by arrival. One event runs, then
 * every microtask that follows from it, then the next event. Nothing here waits for real time.
 *
 * Invariants: time never goes back; the order of events follows from the calls alone; an event that
 * throws ends the run as a failure.
 */
export interface TimelineEvent {
  readonly atMs: number
  readonly order: number
  task: (() => void) | undefined
}

/** So often the event loop of the real process turns: for what it does between its own turns. */
const TURN_EVENTS = 64

export class Timeline {
  nowMs = 0
  /** Events that ran. */
  ran = 0
  #order = 0
  readonly #heap: TimelineEvent[] = []
  readonly #threw: (error: unknown) => void

  constructor(threw: (error: unknown) => void) {
    this.#threw = threw
  }

  after(delayMs: number, task: () => void): TimelineEvent {
    const atMs = this.nowMs + Math.max(0, delayMs)
    const event: TimelineEvent = { atMs, order: this.#order++, task }
    this.#push(event)
    return event
  }

  cancel(event: TimelineEvent): void {
    event.task = undefined
  }

  /** Runs until `isOver` or the instant; true if it was over by then. */
  async run(isOver: () => boolean, untilMs: number): Promise<boolean> {
    await turned()
    while (!isOver()) {
      const next = this.#heap[0]
      if (next === undefined || next.atMs > untilMs) {
        this.nowMs = Math.max(this.nowMs, untilMs)
        return isOver()
      }
      this.#pop()
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

  #push(event: TimelineEvent): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const up = (at - 1) >> 1
      const parent = heap[up] as TimelineEvent
      if (!isBefore(event, parent)) break
      heap[at] = parent
      at = up
    }
    heap[at] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as TimelineEvent
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let down = at * 2 + 1
      if (down >= heap.length) break
      const right = heap[down + 1]
      if (right !== undefined && isBefore(right, heap[down] as TimelineEvent)) down++
      const child = heap[down] as TimelineEvent
      if (!isBefore(child, last)) break
      heap[at] = child
      at = down
    }
    heap[at] = last
  }
}

function isBefore(a: TimelineEvent, b: TimelineEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

/** All microtasks have run: a tick that is asked for by the last of them comes after them all. */
function settled(): Promise<void> {
  return new Promise(resolve => queueMicrotask(() => process.nextTick(resolve)))
}

/** The same, and rejections that nobody handled were reported. */
function turned(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
