/**
 * What the nodes say of their balancing while a day passes, asked again and again as `shoal balance
 * status` and `shoal moves` ask it; and what is new in it, as events.
 *
 * Invariant: nothing here decides or moves anything. Times are those of the nodes' load clock; an
 * event that no receipt dates has the time at which it was seen.
 */
import type {
  BalanceDocument,
  ReceiptDocument,
  ReceiptsDocument
} from '../node/control/balance-documents.ts'
import type { Client } from './client.ts'

type Node = BalanceDocument['nodes'][number]
type Excess = NonNullable<Node['excess']>

export type DayEvent =
  /** The node foresees an overload; it does so no more. */
  | {
      readonly is: 'foreseen'
      readonly atMs: number
      readonly node: string
      readonly excess: Excess
    }
  | { readonly is: 'eased'; readonly atMs: number; readonly node: string }
  /** Its load is above its threshold; it is so no more. */
  | { readonly is: 'over'; readonly atMs: number; readonly node: string }
  | { readonly is: 'under'; readonly atMs: number; readonly node: string }
  | { readonly is: 'offered'; readonly atMs: number; readonly node: string; readonly id: string }
  | { readonly is: 'awarded'; readonly atMs: number; readonly receipt: ReceiptDocument }
  | { readonly is: 'ended'; readonly atMs: number; readonly receipt: ReceiptDocument }

export interface NodeSeen {
  readonly name: string
  /** Units per second. */
  readonly load: number
  readonly threshold: number | undefined
  readonly isOver: boolean
}

export class DayWatch {
  readonly #client: Client
  readonly #onEvent: (event: DayEvent) => void
  readonly #foreseen = new Set<string>()
  readonly #over = new Set<string>()
  readonly #offered = new Set<string>()
  readonly #awarded = new Set<string>()
  readonly #ended = new Set<string>()
  #sinceMs: number

  /** Of what was decided from `sinceMs` on. */
  constructor(client: Client, sinceMs: number, onEvent: (event: DayEvent) => void) {
    this.#client = client
    this.#sinceMs = sinceMs
    this.#onEvent = onEvent
  }

  async look(): Promise<NodeSeen[]> {
    const since = `/v1/receipts?sinceMs=${Math.floor(this.#sinceMs)}`
    const [{ nodes }, { receipts }] = await Promise.all([
      this.#client.get<BalanceDocument>('/v1/balance?days=1'),
      this.#client.get<ReceiptsDocument>(since)
    ])
    for (const node of nodes) this.#follow(node)
    for (const receipt of receipts) this.#read(receipt)
    return nodes.map(({ name, load, threshold }) => {
      return { name, load, threshold, isOver: threshold !== undefined && load > threshold }
    })
  }

  #follow({ at, name, load, threshold, excess, underWay }: Node): void {
    if (excess !== undefined) {
      this.#once(this.#foreseen, name, { is: 'foreseen', atMs: at, node: name, excess })
    } else if (this.#foreseen.delete(name)) this.#onEvent({ is: 'eased', atMs: at, node: name })
    for (const { id, since } of underWay) {
      this.#once(this.#offered, id, { is: 'offered', atMs: since, node: name, id })
    }
    if (threshold === undefined) return
    if (load > threshold) this.#once(this.#over, name, { is: 'over', atMs: at, node: name })
    else if (this.#over.delete(name)) this.#onEvent({ is: 'under', atMs: at, node: name })
  }

  #read(receipt: ReceiptDocument): void {
    const { id, decidedAt, endedAt } = receipt
    this.#once(this.#awarded, id, { is: 'awarded', atMs: decidedAt, receipt })
    if (endedAt !== undefined) this.#once(this.#ended, id, { is: 'ended', atMs: endedAt, receipt })
  }

  #once(seen: Set<string>, key: string, event: DayEvent): void {
    if (seen.has(key)) return
    seen.add(key)
    this.#onEvent(event)
  }
}
