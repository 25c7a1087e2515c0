// Goal: overlapping changes never run together nor change places, and none waits without a reason.
// Method: random ranges enter and leave in random order, against a quadratic definition.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Barrier } from '../../node/gateway/barrier.ts'
import { Order, Ordered } from '../../node/gateway/order.ts'
import { BLOCK_BYTES } from '../../protocols/limits.ts'

class Entry extends Ordered {
  readonly number: number
  readonly started: number[]

  constructor(from: number, blocks: number, number: number, started: number[]) {
    super(from * BLOCK_BYTES, (from + blocks) * BLOCK_BYTES)
    this.number = number
    this.started = started
  }

  start(): void {
    this.started.push(this.number)
  }
}

const overlap = (a: Entry, b: Entry): boolean => a.from < b.to && b.from < a.to

const acts = fc.array(
  fc.oneof(
    fc.record({ from: fc.nat(60), blocks: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ leave: fc.nat() })
  ),
  { maxLength: 80 }
)

describe('the order of changes', () => {
  it('starts an entry exactly when nothing older overlaps it any more', () => {
    fc.assert(
      fc.property(acts, list => {
        const order = new Order()
        const started: number[] = []
        const present: Entry[] = []
        let count = 0
        const check = (): void => {
          present.forEach((entry, i) => {
            const isFree = !present.slice(0, i).some(older => overlap(older, entry))
            expect(entry.hasStarted).toBe(isFree)
          })
        }
        for (const act of list) {
          if ('leave' in act) {
            // Also entries that never started: given up while they waited.
            const [entry] = present.splice(act.leave % Math.max(1, present.length), 1)
            if (entry !== undefined) order.leave(entry)
          } else {
            const entry = new Entry(act.from, act.blocks, count++, started)
            present.push(entry)
            order.enter(entry)
          }
          check()
        }
        expect(order.waiting().size).toBe(present.filter(entry => !entry.hasStarted).length)
        while (present.length > 0) {
          const entry = present.shift()
          if (entry !== undefined) order.leave(entry)
          check()
        }
        expect(order.isEmpty).toBe(true)
        expect(new Set(started).size).toBe(started.length)
      })
    )
  })

  it('lets a barrier start after all older changes of its range, and none before it is lifted', () => {
    const barriers = fc.array(
      fc.oneof(
        {
          weight: 4,
          arbitrary: fc.record({ from: fc.nat(90), blocks: fc.integer({ min: 1, max: 9 }) })
        },
        { weight: 4, arbitrary: fc.record({ leave: fc.nat() }) },
        // A chunk of 32 blocks: two granules.
        { weight: 1, arbitrary: fc.record({ chunk: fc.nat(2) }) }
      ),
      { maxLength: 80 }
    )
    fc.assert(
      fc.property(barriers, list => {
        const order = new Order()
        const present: Ordered[] = []
        const isFree = (entry: Ordered, i: number): boolean =>
          !present.slice(0, i).some(older => older.from < entry.to && entry.from < older.to)
        for (const act of list) {
          if ('leave' in act) {
            const [entry] = present.splice(act.leave % Math.max(1, present.length), 1)
            if (entry !== undefined) order.leave(entry)
          } else if ('chunk' in act) {
            let cleared = 0
            const from = act.chunk * 32 * BLOCK_BYTES
            const barrier = new Barrier({ from, to: from + 32 * BLOCK_BYTES }, () => {
              cleared += 1
              expect(cleared).toBe(1)
            })
            present.push(barrier)
            order.enter(barrier)
          } else {
            const entry = new Entry(act.from, act.blocks, 0, [])
            present.push(entry)
            order.enter(entry)
          }
          present.forEach((entry, i) => {
            expect(entry.hasStarted).toBe(isFree(entry, i))
          })
        }
      })
    )
  })
})
