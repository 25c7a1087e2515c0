/**
 * The balancing of a node with a store, wired: what it keeps, what it decides, what it answers.
 *
 *   settings, past, receipts (files) <- deals <- balancer <- load
 *                                       bidder <- peers
 */
import { isWithin } from '../../protocols/balance/budget.ts'
import type { Outcome, Receipt } from '../../protocols/balance/receipt.ts'
import type { Want } from '../../protocols/balance/types.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { Load } from '../load/load.ts'
import type { ShardMap } from '../map/types.ts'
import type { Moves } from '../moves/types.ts'
import type { Clock, Disk, Log, Network, Random } from '../ports.ts'
import type { Rpc } from '../rpc/types.ts'
import type { ShardServer } from '../shard/types.ts'
import type { ChunkStore } from '../storage/types.ts'
import { volumeName } from '../volumes/names.ts'
import { Balancer } from './balancer.ts'
import { Bidder } from './bidder.ts'
import { Deals } from './deals.ts'
import { LongOutlooks } from './long-outlooks.ts'
import { type LookSources, nodeOutlook } from './look.ts'
import { Offering } from './offering.ts'
import { openNodeJournal } from './open-journal.ts'
import { openPast, type Past } from './past.ts'
import { openPeerRecords, type PeerRecords } from './peer-records.ts'
import { Pressure } from './pressure.ts'
import { serveBalance } from './serve.ts'
import type { Settings } from './settings-file.ts'
import { thresholdOf } from './threshold.ts'
import type { Balance, BalanceMode } from './types.ts'
import { planOf, statusOf, type ViewParts } from './views.ts'

export interface BalanceParts {
  readonly self: { readonly id: NodeId; readonly region: string; readonly host: string }
  /** Of time, and of load. */
  readonly clock: Clock
  readonly loadClock: Clock
  readonly random: Random
  readonly log: Log
  readonly network: Network
  readonly rpc: Rpc
  readonly map: ShardMap
  readonly store: ChunkStore
  readonly shards: ShardServer
  readonly moves: Moves
  readonly load: Load
  /** The data directory. */
  readonly disk: Disk
  readonly settings: Settings
  readonly mode?: BalanceMode | undefined
}

/** Serves its protocols and begins to look. Rejects as the disk does. */
export async function openBalance(parts: BalanceParts): Promise<Balance> {
  const { self, clock, loadClock, log, load, moves, disk, settings, rpc } = parts
  const past = await openPast(disk, log, loadClock)
  const threshold = () => thresholdOf(load, settings.now)?.threshold
  const records = await openPeerRecords(disk, log, clock)
  const { trust } = records
  const onJudged = judging(records, clock)
  const kept = { ...parts, clock: loadClock, threshold, onJudged }
  const { journal, measured } = await openNodeJournal(kept)
  const place = { node: self.id, region: self.region, host: self.host }
  const pressure = new Pressure(load, loadClock, () => balancer.pressed())
  const longer = new LongOutlooks(load, loadClock, log)
  const sources: LookSources = {
    ...{ ...parts, self: place, clock: loadClock },
    ...{ longer, pressure, past, settings: () => settings.now },
    isReactive: parts.mode === 'reactive'
  }
  const isDraining = () => moves.draining() !== undefined
  const isOff = parts.mode === 'off'
  const deals: Deals = new Deals({
    ...{ ...parts, self: self.id, past, records, receipts: journal.receipts },
    refusal: want => refusalOf(parts, past, want)
  })
  const bidder = new Bidder({
    ...{ ...parts, region: self.region, past },
    outlook: pending => nodeOutlook(sources, pending)
  })
  const offering = new Offering({ ...parts, self: place, trust, deals })
  const bound = () => moves.list(0).bound
  const loop = { clock, random: parts.random, log, sources, deals, bidder, offering }
  const balancer: Balancer = new Balancer({ ...loop, isDraining, isOff, bound })
  const problems = () =>
    problemsOf(parts, balancer, [
      settings.problem,
      past.problem,
      records.problem,
      ...journal.problems()
    ])
  const balance = balanceOf(
    { sources, balancer, deals, bidder, offering, problems },
    {
      settings,
      close: async () => {
        await journal.close()
        await records.save().catch(() => undefined)
      }
    }
  )
  settings.onChange(() => {
    load.subjects.look()
    balancer.changed()
  })
  serveBalance({
    rpc,
    log,
    clock: loadClock,
    receipts: journal.receipts,
    measured,
    threshold,
    balance
  })
  bidder.serve()
  deals.resume()
  return balance
}

/** Why what was wanted may not begin now, since things may have changed. */
function refusalOf(
  { settings, moves, loadClock, map }: BalanceParts,
  { history }: Past,
  { volume, bytes }: Want
): string | undefined {
  if (settings.now.isPaused) return 'balancing is paused'
  if (moves.draining() !== undefined) return 'the node is being drained'
  const nowMs = loadClock.now()
  if (!isWithin(history.ofHour(nowMs), bytes, settings.now)) {
    return 'what may move from this node in this hour is used up'
  }
  const isLeft = isWithin(history.ofVolume(volume, nowMs), bytes, map.volume(volume)?.policy ?? {})
  return isLeft ? undefined : 'what may move of the volume in this hour is used up'
}

/** A target that did not stay well had promised more than was true; others took nothing from it. */
function judging(records: PeerRecords, clock: Clock): (receipt: Receipt, outcome: Outcome) => void {
  return ({ target, alternatives }, { targetStayedWell, targetPeak, targetThreshold }) => {
    const bid = alternatives.find(({ is }) => is === 'chosen')?.bid
    if (bid === undefined || targetThreshold <= 0) return
    const { headroom } = bid
    const peak = targetStayedWell ? targetThreshold - headroom : targetPeak
    const verdict = { headroom, threshold: targetThreshold, peak }
    records.trust.judged(target, verdict, clock.monotonicMs())
    records.saveSoon()
  }
}

function balanceOf(
  parts: ViewParts,
  { settings, close }: { readonly settings: Settings; readonly close: () => Promise<void> }
): Balance {
  const { sources, balancer, deals, problems } = parts
  return {
    status: () => statusOf(parts),
    set: change => settings.set(change),
    plan: () => planOf(parts),
    problems,
    close: async () => {
      sources.pressure.stop()
      balancer.stop()
      deals.stop()
      await close()
      await sources.past.save().catch(() => undefined)
    }
  }
}

function problemsOf(
  { map }: BalanceParts,
  balancer: Balancer,
  files: ReadonlyArray<string | undefined>
): string[] {
  return [
    ...files.filter(problem => problem !== undefined),
    ...balancer
      .incurable()
      .map(({ volume, why }) =>
        volume === undefined
          ? `this node: ${why}`
          : `volume ${volumeName(map.mesh(), volume)}: ${why}`
      )
  ]
}
