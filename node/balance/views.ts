/** The state of the balancing of this node, and its plan, as people and other nodes see them. */
import type { Incurable } from '../../protocols/balance/policy.ts'
import { formatSize } from '../../protocols/layout/sizes.ts'
import { type Balancer, wordsOf } from './balancer.ts'
import type { Bidder } from './bidder.ts'
import type { Deals } from './deals.ts'
import type { LookSources } from './look.ts'
import type { Offering } from './offering.ts'
import { worthOf } from './sentences.ts'
import { thresholdOf } from './threshold.ts'
import type { Balance, BalanceState, BalanceStatus, IncurableView, PlanView } from './types.ts'

export interface ViewParts {
  readonly sources: LookSources
  readonly balancer: Balancer
  readonly deals: Deals
  readonly bidder: Bidder
  readonly offering: Offering
  readonly problems: () => readonly string[]
}

export function statusOf(parts: ViewParts): BalanceStatus {
  const { sources, balancer, deals, bidder, problems } = parts
  const { load, pressure, past, clock } = sources
  const settings = sources.settings()
  const capacity = load.options.capacity()
  const limit = thresholdOf(load, settings)
  const idle = balancer.idle()
  const { last } = balancer
  const now = clock.now()
  const { moves, bytes } = past.history.ofHour(now)
  const { bytesPerHour, movesPerHour } = settings
  return {
    at: now,
    settings,
    ...(idle !== undefined && { idle }),
    load: pressure.node,
    ...(capacity !== undefined && { capacity }),
    ...(limit !== undefined && { threshold: limit.threshold, thresholdFrom: limit.from }),
    ...(last !== undefined && { plannedAt: last.atMs }),
    ...(last?.excess !== undefined && { excess: last.excess }),
    incurable: balancer.incurable().map(incurableView),
    underWay: deals.views,
    promises: bidder.views(),
    movesLeft: Math.max(0, movesPerHour - moves),
    ...(bytesPerHour !== undefined && { bytesLeft: Math.max(0, bytesPerHour - bytes) }),
    problems: problems()
  }
}

export function planOf(parts: ViewParts): PlanView {
  const { sources, balancer, offering } = parts
  const idle = balancer.idle()
  const planned = balancer.planNow()
  if (planned === undefined) {
    const view = { at: sources.clock.now(), wants: [], incurable: [], left: [] }
    return { ...view, idle: idle ?? 'blind' }
  }
  const { plan, look, excess, atMs } = planned
  return {
    at: atMs,
    ...(idle !== undefined && { idle }),
    ...(excess !== undefined && { excess }),
    wants: plan.wants.map(want => ({
      want,
      why: worthOf(want),
      candidates: offering.wouldAsk(want, look)
    })),
    incurable: plan.incurable.map(incurableView),
    left: [...(plan.looked === '' ? [] : [plan.looked]), ...leftOf(parts)]
  }
}

function leftOf({ balancer, deals }: ViewParts): string[] {
  const idle = balancer.idle()
  const underWay = deals.views.map(
    ({ id, at, bytes }) => `${id} is ${at === 'offering' ? 'offered' : at} (${formatSize(bytes)})`
  )
  return [...(idle === undefined ? [] : [wordsOf(idle)]), ...underWay]
}

function incurableView({ volume, why, excess }: Incurable): IncurableView {
  return { why, excess, ...(volume !== undefined && { volume }) }
}

/** In short, for `GET /v1/self`. */
export function stateOf({ status }: Balance): BalanceState {
  const { settings, idle, underWay, promises, movesLeft } = status()
  return {
    isPaused: settings.isPaused,
    ...(idle !== undefined && { idle }),
    underWay: underWay.length,
    promises: promises.length,
    movesLeft
  }
}
