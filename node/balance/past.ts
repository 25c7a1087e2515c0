/**
 * What this node remembers of moves: what left, what came, how many began, and the negotiated ones
 * that have not ended. In memory as the policy wants it, and in DIR/balance-moves.json
 * (docs/format-balance.md), from which it is made anew.
 *
 * Invariants: the hours in which no chunk returns, or only for a quiet day, survive a restart; what is
 * older than that is forgotten; a negotiated move is in the file before it begins, until its target was told its end.
 */
import { z } from 'zod'
import { MoveHistory } from '../../protocols/balance/history-of-moves.ts'
import { MAX_REMEMBERED_CHUNKS, RETURN_REMEMBERED_MS } from '../../protocols/balance/limits.ts'
import { type ChunkKey, isNonce, type Nonce, type VolumeId } from '../../protocols/ids.ts'
import { MAX_COUNTER } from '../../protocols/limits.ts'
import { MAX_MOVE_RANGES } from '../../protocols/moves/limits.ts'
import { moveIdSchema, nodeIdSchema, volumeIdSchema } from '../../protocols/moves/messages.ts'
import { MAX_OPEN_OFFERS } from '../../protocols/negotiate/limits.ts'
import { chunkRangeSchema } from '../../protocols/negotiate/messages.ts'
import { JsonFile, loadJson } from '../json-file.ts'
import { MAX_BALANCE_MOVES_BYTES, MAX_PAST_MOVES } from '../limits.ts'
import type { ChunkRange } from '../moves/ranges.ts'
import type { Clock, Disk, Log } from '../ports.ts'

export const BALANCE_MOVES_FILE = 'balance-moves.json'
/** Steps of a path: a horizon of a day. */
const MAX_STEPS = 600

const amount = z.number().min(0).max(MAX_COUNTER)
const ranges = z.array(chunkRangeSchema).max(MAX_MOVE_RANGES)
const loads = z.array(amount).max(MAX_STEPS)

const eventSchema = z.discriminatedUnion('is', [
  z.strictObject({
    is: z.literal('begun'),
    atMs: amount,
    bytes: amount,
    volume: volumeIdSchema.optional()
  }),
  z.strictObject({ is: z.enum(['left', 'arrived']), atMs: amount, volume: volumeIdSchema, ranges })
])
type PastEvent = z.infer<typeof eventSchema>

const orderSchema = z.strictObject({
  id: moveIdSchema,
  volume: volumeIdSchema,
  to: nodeIdSchema,
  reservation: z.custom<Nonce>(isNonce, 'not a reservation'),
  reason: z.enum(['predicted', 'reactive', 'home']),
  since: amount,
  bytes: amount,
  ranges,
  path: z.strictObject({ atMs: amount, stepMs: amount, expected: loads, high: loads })
})
/** A negotiated move that was awarded. */
export type SavedOrder = z.infer<typeof orderSchema>

const fileSchema = z.strictObject({
  version: z.literal(1),
  events: z.array(eventSchema).max(MAX_PAST_MOVES),
  orders: z.array(orderSchema).max(MAX_OPEN_OFFERS)
})

export class Past {
  readonly history = new MoveHistory()
  readonly problem: string | undefined
  readonly #clock: Pick<Clock, 'now'>
  readonly #file: JsonFile
  readonly #orders = new Map<string, SavedOrder>()
  /** The oldest first. */
  #events: PastEvent[] = []

  /** `clock`: that of load. */
  constructor(disk: Disk, log: Log, clock: Pick<Clock, 'now'>, problem?: string) {
    this.#clock = clock
    this.problem = problem
    this.#file = new JsonFile(BALANCE_MOVES_FILE, disk, log, () => this.#record())
  }

  restore(events: readonly PastEvent[], orders: readonly SavedOrder[]): void {
    for (const event of events) this.#take(event)
    for (const order of orders) this.#orders.set(order.id, order)
  }

  begun(volume: VolumeId, bytes: number): void {
    this.#take({ is: 'begun', atMs: this.#clock.now(), bytes, volume })
  }

  noted(is: 'left' | 'arrived', volume: VolumeId, of: readonly ChunkRange[]): void {
    const some = of.slice(0, MAX_MOVE_RANGES)
    this.#take({ is, atMs: this.#clock.now(), volume, ranges: [...some] })
  }

  get orders(): readonly SavedOrder[] {
    return [...this.#orders.values()]
  }

  put(order: SavedOrder): void {
    this.#orders.set(order.id, order)
  }

  drop(id: string): void {
    this.#orders.delete(id)
  }

  /** Durable when it resolves. */
  save(): Promise<void> {
    return this.#file.save()
  }

  saveSoon(): void {
    this.#file.saveSoon()
  }

  #take(event: PastEvent): void {
    this.#events.push(event)
    if (event.is === 'begun') this.history.begin(event.atMs, event.bytes, event.volume)
    else {
      const { is, atMs, volume } = event
      const chunks = event.ranges.flatMap(range => chunksIn(volume, range))
      this.history.note({ is, atMs, chunks, bytes: 0 })
    }
  }

  #record(): z.infer<typeof fileSchema> {
    const oldestMs = this.#clock.now() - RETURN_REMEMBERED_MS
    this.#events = youngest(this.#events.filter(({ atMs }) => atMs > oldestMs))
    return { version: 1, events: this.#events, orders: [...this.#orders.values()] }
  }
}

/** As many as the file may have, moves and ranges: the history remembers no more chunks than these. */
function youngest(events: readonly PastEvent[]): PastEvent[] {
  let left = MAX_REMEMBERED_CHUNKS
  let from = events.length
  while (from > Math.max(0, events.length - MAX_PAST_MOVES)) {
    const event = events[from - 1]
    left -= event === undefined || event.is === 'begun' ? 1 : event.ranges.length
    if (left < 0) break
    from -= 1
  }
  return events.slice(from)
}

/** `clock`: that of load. Rejects as the disk does. */
export async function openPast(disk: Disk, log: Log, clock: Pick<Clock, 'now'>): Promise<Past> {
  const place = { disk, log, name: BALANCE_MOVES_FILE }
  const found = await loadJson(place, fileSchema, MAX_BALANCE_MOVES_BYTES)
  const problem =
    found.is === 'damaged'
      ? `${BALANCE_MOVES_FILE} could not be read (kept as ${found.keptAs}): chunks that left this ` +
        'node in the last 24 hours may come back sooner than they should'
      : undefined
  const past = new Past(disk, log, clock, problem)
  if (found.is === 'read') past.restore(found.value.events, found.value.orders)
  return past
}

/** Of a larger range the first ones: the history remembers no more. */
export function chunksIn(volume: VolumeId, { from, to, ...slot }: ChunkRange): ChunkKey[] {
  const length = Math.max(0, Math.min(to - from, MAX_REMEMBERED_CHUNKS))
  return Array.from({ length }, (_, i) => ({ volume, extent: from + i, ...slot }))
}
