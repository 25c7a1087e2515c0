/**
 * The bidder of a simulated node: the shipped ledger over the shipped appraisal, as
 * node/balance/bidder.ts wires them.
 */
import { appraise } from '../../../protocols/balance/target.ts'
import type { NodeId } from '../../../protocols/ids.ts'
import { type Appraisal, Ledger, promisedBytes } from '../../../protocols/negotiate/ledger.ts'
import type {
  NegotiateAnswer,
  NegotiateRequest,
  Offer
} from '../../../protocols/negotiate/messages.ts'
import type { BalanceMesh } from './mesh.ts'
import type { Mistakes } from './mistakes.ts'
import type { BalanceNode } from './node.ts'

export class Bidding {
  readonly ledger: Ledger
  readonly #node: BalanceNode
  readonly #mesh: BalanceMesh

  constructor(node: BalanceNode, mesh: BalanceMesh, { ignoresPromises }: Mistakes) {
    this.#node = node
    this.#mesh = mesh
    this.ledger = new Ledger({
      appraise: (offer, _, all) => {
        const promised = ignoresPromises === true ? [] : all
        const offers = promised.map(one => one.offer)
        return this.appraisal(offer, offers, promisedBytes(promised))
      }
    })
    mesh.wire.connect(node.place.node, (from, request) => this.#answer(from, request))
  }

  /** If so much were promised. */
  appraisal(offer: Offer, promised: readonly Offer[], bytes: number): Appraisal {
    const mesh = this.#mesh
    const nowMs = mesh.loadMs
    // What is leaving counts until forecasts know that it is gone: it may also fail to leave.
    const bare = this.#node.outlook(
      promised.map(({ path }) => path),
      []
    )
    const own = { ...bare, freeBytes: Math.max(0, bare.freeBytes - bytes) }
    if (own.load > own.threshold) return unfit('it is over its threshold now')
    const returns = mesh
      .chunksOf(offer)
      .flatMap(({ key }) => this.#node.history.returnsAt(key, nowMs) ?? [])
    const wasHere = mesh.chunksOf(offer).some(({ key }) => this.#node.history.wasHere(key, nowMs))
    const { reason, path, copyMs, bytes: size, hourly } = offer
    const isToStay = wasHere || reason === 'home'
    const day = isToStay
      ? this.#node.dayWith(promised.map(other => other.hourly ?? other.path))
      : undefined
    const appraisal = appraise({
      nowMs,
      own: { ...own, ...(day !== undefined && { day }) },
      offered: { reason, bytes: size, path, copyMs, ...(hourly !== undefined && { day: hourly }) },
      wasHere,
      settings: mesh.scene.settings,
      ...(returns.length > 0 && { returnsAt: Math.max(...returns) }),
      rttMs: mesh.scene.roundTripMs(this.#node.place, mesh.gatewayOf(offer.volume))
    })
    if (appraisal.is === 'bid') return { is: 'fit', figures: appraisal.figures }
    return unfit(appraisal.why)
  }

  #answer(from: NodeId, request: NegotiateRequest): NegotiateAnswer | undefined {
    const mesh = this.#mesh
    const kind = mesh.kindOf(this.#node)
    if (kind === 'mute') return undefined
    const at = { nowMs: mesh.clock.nowMs, nonce: mesh.nonce() }
    const answer = this.ledger.answer(from, request, at)
    if (answer.is === 'awarded') {
      const promise = this.ledger.find(from, request.id)
      if (promise !== undefined) this.#node.note('arrived', mesh.chunksOf(promise.offer))
    }
    if (kind !== 'boaster') {
      mesh.checks.bid(this.#node, request.id, answer, mesh.versionOf(this.#node))
      return answer
    }
    if (request.call === 'award') return { is: 'awarded' }
    if (request.call !== 'offer') return answer
    const { capacity: headroom, roomBytes: freeBytes } = mesh.scene
    const figures = { headroom, addedExcess: 0, freeBytes, rttMs: 0 }
    return { is: 'bid', figures, reservation: at.nonce, lastsMs: 30_000 }
  }
}

function unfit(why: string): Appraisal {
  return { is: 'unfit', code: 'no-headroom', why }
}
