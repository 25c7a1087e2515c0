/**
 * The parts of a daemon that know its load, wired: what it can do, what it is asked and foretells, and
 * what it moves because of that.
 */
import { mkdirSync } from 'node:fs'
import { capacityWithin, shareWithin } from '../protocols/load/limit.ts'
import { openBalance } from './balance/open.ts'
import { openSettings, type Settings } from './balance/settings-file.ts'
import type { Balance, BalanceMode } from './balance/types.ts'
import type { Host } from './host/host.ts'
import { type Calibration, openCalibration } from './load/calibrate.ts'
import type { Load } from './load/load.ts'
import { type NodeLimit, openNodeLimit } from './load/node-limit.ts'
import { openLoad } from './load/open.ts'
import { scratchIn } from './load/scratch.ts'
import type { Identity } from './members/identity.ts'
import type { Clock, Disk, Log, Random } from './ports.ts'
import type { Rpc } from './rpc/types.ts'
import type { Cleanup, Service, Storage } from './service.ts'
import { openDisk } from './storage/real-disk.ts'
import { hostZone } from './volumes/zones.ts'

interface LoadParts extends Storage, Service {
  readonly dir: string
  readonly identity: Identity
  readonly clock: Clock
  readonly loadClock: Clock
  readonly random: Random
  readonly log: Log
  readonly host: Host
  readonly rpc: Rpc
}

export interface Measured {
  readonly load: Load
  /** Absent on a node without capacity. */
  readonly calibration: Calibration | undefined
  readonly limit: NodeLimit | undefined
  readonly settings: Settings
}

export async function measure(
  parts: LoadParts & { readonly maxLoad: number | null | undefined },
  cleanups: Cleanup[]
): Promise<Measured> {
  const { dir, identity, incarnation, host, store, shards, log } = parts
  const { region } = identity
  const settings = await openSettings(diskAt(dir), parts.log)
  const calibration = store && (await openCalibrationOf(parts, cleanups))
  const limit =
    shards &&
    (await openNodeLimit({
      disk: diskAt(dir),
      log,
      thisTime: parts.maxLoad,
      apply: maxLoad => shards.limitLoad(maxLoad)
    }))
  const load = openLoad(
    {
      ...parts,
      network: host,
      region,
      start: incarnation.number,
      zone: hostZone(),
      capacity: () => capacityWithin(calibration?.last()?.capacity, limit?.maxLoad()),
      shareOf: record => shareWithin(calibration?.shareOf(record), record, limit?.maxLoad()),
      thresholdPart: () => settings.now.thresholdPart,
      onGroup: members => host.setPreferredPeers(members)
    },
    dir
  )
  cleanups.push(() => load.close())
  return { load, calibration, limit, settings }
}

/** Undefined on a node without capacity: nothing can move from there, or to it. */
export async function balancing(
  parts: LoadParts & Measured & { readonly mode: BalanceMode | undefined },
  cleanups: Cleanup[]
): Promise<Balance | undefined> {
  const { dir, identity, host, store, shards, moves } = parts
  if (store === undefined || shards === undefined || moves === undefined) return undefined
  const { id, region } = identity
  const self = { id, region, host: identity.host }
  const open = { store, shards, moves, network: host, disk: diskAt(dir) }
  const balance = await openBalance({ ...parts, ...open, self })
  cleanups.push(() => balance.close())
  return balance
}

async function openCalibrationOf(
  { dir, identity, clock, random, log, shards }: LoadParts,
  cleanups: Cleanup[]
): Promise<Calibration> {
  const calibration = await openCalibration({
    self: identity.id,
    disk: diskAt(dir),
    scratch: scratchIn(dir),
    clock,
    random,
    log,
    requests: () => shards?.replicas.clientLoad().requests ?? 0
  })
  cleanups.push(() => calibration.close())
  return calibration
}

export function diskAt(path: string): Disk {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  return openDisk(path)
}
