/**
 * The events of a simulated time, ordered by instant and then by arrival.
 *
 * Invariant: the order follows from the calls alone.
 */
export interface HeapEvent {
  readonly atMs: number
  readonly order: number
  task: (() => void) | undefined
}

export class EventHeap {
  readonly #heap: HeapEvent[] = []
  #order = 0

  add(atMs: number, task: () => void): HeapEvent {
    const event: HeapEvent = { atMs, order: this.#order++, task }
    this.#push(event)
    return event
  }

  peek(): HeapEvent | undefined {
    return this.#heap[0]
  }

  /** Those that were cancelled (without a task) included. */
  pop(): HeapEvent | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      let down = at * 2 + 1
      if (down >= heap.length) break
      const right = heap[down + 1]
      if (right !== undefined && isBefore(right, heap[down] as HeapEvent)) down++
      const child = heap[down] as HeapEvent
      if (!isBefore(child, last)) break
      heap[at] = child
      at = down
    }
    heap[at] = last
    return first
  }

  #push(event: HeapEvent): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const up = (at - 1) >> 1
      const parent = heap[up] as HeapEvent
      if (!isBefore(event, parent)) break
      heap[at] = parent
      at = up
    }
    heap[at] = event
  }
}

/** Simulated time for what is pure: nothing is awaited between two events. */
export class EventClock {
  nowMs = 0
  readonly #events = new EventHeap()

  after(delayMs: number, task: () => void): HeapEvent {
    return this.#events.add(this.nowMs + Math.max(0, delayMs), task)
  }

  cancel(event: HeapEvent): void {
    event.task = undefined
  }

  /** Runs everything that is due by then; `each` after every event. */
  runUntil(untilMs: number, each: () => void = () => {}): void {
    for (let next = this.#events.peek(); next !== undefined; next = this.#events.peek()) {
      if (next.atMs > untilMs) break
      this.#events.pop()
      if (next.task === undefined) continue
      this.nowMs = next.atMs
      next.task()
      each()
    }
    this.nowMs = Math.max(this.nowMs, untilMs)
  }
}

function isBefore(a: HeapEvent, b: HeapEvent): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
