/**
 * A running node: one of each part, wired. What depends on what:
 *
 *   data directory (lock, binding) -> identity -> store -> members -> host -> rpc -> map
 *   store -> shard server ;  map, shard server -> gateway -> NBD exports ;  all -> control API
 *
 * Invariants: nothing is served before the directory is locked and the store has recovered; what
 * was started is stopped in the opposite order, also when the start fails half way; an expired node
 * attaches nothing anew.
 */
import { join, resolve } from 'node:path'
import { readRevocation } from '../protocols/admission/revocation.ts'
import { messageOf } from '../protocols/fault.ts'
import type { ObserveStep } from '../protocols/handoff/steps.ts'
import { loadTopics } from '../protocols/load-gossip/groups.ts'
import { announcer, leave, refuseIfLeft } from './announcer.ts'
import type { Balance, BalanceMode } from './balance/types.ts'
import { systemClock, systemRandom } from './clock.ts'
import { lastSeen, memberOperations, selfInfo, whileCertified } from './context-parts.ts'
import type { DaemonContext } from './control/context.ts'
import { type Control, startControl } from './control/server.ts'
import { balancing, diskAt, type Measured, measure } from './daemon-load.ts'
import { openDataDirectory } from './data-directory.ts'
import { openExports, type TcpExport } from './exports.ts'
import { followMap } from './follow-map.ts'
import { grantAsMover } from './handoff/grant.ts'
import { createHost, type Host } from './host/host.ts'
import { ADDRESS_CHECK_MS } from './limits.ts'
import type { Load } from './load/load.ts'
import { type Identity, loadIdentity, loadPeers } from './members/identity.ts'
import { createMembers, type Members } from './members/members.ts'
import { prepareMemory } from './memory.ts'
import { MeshKnowledge } from './mesh-knowledge.ts'
import { createNbdServer } from './nbd/server.ts'
import type { Clock, Log, Random } from './ports.ts'
import { problemsOf } from './problems.ts'
import { createRpc } from './rpc/rpc.ts'
import type { Rpc } from './rpc/types.ts'
import {
  type Cleanup,
  openService,
  openStorage,
  type Service,
  type ServiceParts,
  type Storage
} from './service.ts'
import { continueAfter } from './start-count.ts'
import { openAttachmentFile } from './volumes/attachment-file.ts'

export interface DaemonOptions {
  readonly dir: string
  readonly log: Log
  /** Instead of what `init` or `join` was told, for this start. */
  readonly listen?: readonly string[]
  readonly announce?: readonly string[]
  /** How long I/O waits for a silent node. */
  readonly ioTimeoutMs?: number
  /** Bytes per second of background copying; null: no bound; absent: as it was set last. */
  readonly moveBound?: number | null | undefined
  /** Units of load per second to serve at most; null: no limit; absent: as it was set last. */
  readonly maxLoad?: number | null | undefined
  /** Told of every step of a handoff in which this node takes part. */
  readonly observe?: ObserveStep
  /** NBD over TCP, besides the unix socket. */
  readonly nbd?: TcpExport
  /** The operator says that this copy of the data is the newest there is. */
  readonly rebind?: boolean
  /** The operator accepts that a damaged journal has lost data. */
  readonly acceptLoss?: boolean
  /** The daemon wants to stop: someone asked over the control socket, or the node has left. */
  readonly onShutdown?: (reason: string) => void
  readonly clock?: Clock
  /** What load and balancing go by: of the demo and of tests it may be faster (scaled-clock.ts). */
  readonly loadClock?: Clock
  /** Of a bench: whether balancing may look ahead, or act at all. As shipped it may. */
  readonly balance?: BalanceMode
  readonly random?: Random
}

export interface Daemon {
  readonly context: DaemonContext
  readonly control: Control
  stop: () => Promise<void>
}

/** Throws ShoalError DATA_DIR, PORT_TAKEN or BAD_INPUT, and then has left nothing running. */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const cleanups: Cleanup[] = []
  try {
    return await start(options, cleanups)
  } catch (error) {
    await cleanUp(cleanups, options.log)
    throw error
  }
}

async function start(options: DaemonOptions, cleanups: Cleanup[]): Promise<Daemon> {
  const { log, clock = systemClock, random = systemRandom } = options
  const { loadClock = clock } = options
  prepareMemory(log)
  const dir = resolve(options.dir)
  const directory = openDataDirectory(dir, { rebind: options.rebind ?? false })
  cleanups.push(() => directory.release())
  refuseIfLeft(dir)
  const identity = await loadIdentity(dir)
  const base = { dir, identity, clock, loadClock, random, log }

  const { capacityBytes } = identity
  const acceptLoss = options.acceptLoss ?? false
  const disk = diskAt(join(dir, 'store'))
  const storage = await openStorage({ ...base, disk, capacityBytes, acceptLoss }, cleanups)
  const mesh = await openMesh(options, base, cleanups)
  let load: Load | undefined
  const parts = serviceParts(options, base, storage, mesh)
  const service = await openService(
    { ...parts, passed: (chunk, to) => load?.passed(chunk, to) },
    cleanups
  )
  const { maxLoad } = options
  const measured = await measure({ maxLoad, ...base, ...storage, ...mesh, ...service }, cleanups)
  load = measured.load
  const balance = await balancing(
    { ...base, ...storage, ...mesh, ...service, ...measured, mode: options.balance },
    cleanups
  )
  await mesh.host.start()
  const announce = announcer(identity, mesh.host, service.map, storage.incarnation)
  followMap({
    ...mesh,
    ...service,
    self: identity.id,
    incarnation: storage.incarnation,
    log,
    onCopy: last => {
      if (options.rebind === true) void continueFrom(options, storage, random, last)
    }
  })
  announce()
  cleanups.push(repeat(clock, ADDRESS_CHECK_MS, announce))
  const context = await openContext(
    options,
    { ...base, ...storage, ...mesh, ...service, ...measured, balance, announce },
    cleanups
  )
  const control = await startControl(context)
  cleanups.push(() => control.close())
  const addresses = mesh.host.addresses()
  log.info({ node: identity.id, name: identity.name, addresses }, 'serving')
  return { context, control, stop: () => cleanUp(cleanups, log) }
}

interface Base {
  readonly dir: string
  readonly identity: Identity
  readonly clock: Clock
  readonly loadClock: Clock
  readonly random: Random
  readonly log: Log
}

interface Mesh {
  readonly members: Members
  readonly knowledge: MeshKnowledge
  readonly host: Host
  readonly rpc: Rpc
}

// -- the parts

async function openMesh(options: DaemonOptions, base: Base, cleanups: Cleanup[]): Promise<Mesh> {
  const { dir, identity, clock, log } = base
  // Knowledge, membership and host refer to each other: each asks only once all of them are there.
  const knowledge: MeshKnowledge = new MeshKnowledge({
    dir,
    self: identity.id,
    remembered: await loadPeers(dir),
    isRevoked: peer => members.isRevoked(peer),
    clock,
    log
  })
  const members = await createMembers({
    ...base,
    knowledge: {
      regions: () => [...new Set([identity.region, ...knowledge.regions()])],
      isNameTaken: (name, peer) => knowledge.isNameTaken(name, peer) || name === identity.name,
      isKnown: peer => knowledge.isKnown(peer),
      peers: () => [{ id: identity.id, addresses: host.addresses() }, ...knowledge.peers()]
    }
  })
  const { seed } = identity
  const { listen = identity.listen, announce = identity.announce } = options
  const topics = loadTopics(identity.id, identity.region)
  const host: Host = await createHost({ ...base, seed, listen, announce, topics, gate: members })
  const rpc = createRpc({ network: host, clock, log })
  members.attach(host, rpc)
  cleanups.push(() => host.stop())
  cleanups.push(() => members.stop())
  cleanups.push(() => knowledge.save())
  return { members, knowledge, host, rpc }
}

function serviceParts(
  { ioTimeoutMs, moveBound, observe }: DaemonOptions,
  { dir, identity, clock, loadClock, random, log }: Base,
  { store }: Storage,
  { host, rpc }: Mesh
): ServiceParts {
  const { id, mesh } = identity
  return {
    self: { id, host: identity.host },
    store,
    dataDisk: diskAt(dir),
    ...(observe === undefined ? {} : { observe }),
    moveBound,
    network: host,
    rpc,
    acceptsRevocation: (peer, signed) => readRevocation(signed, mesh)?.peer === peer,
    gatewayOptions: ioTimeoutMs === undefined ? {} : { ioTimeoutMs },
    clock,
    loadClock,
    random,
    log
  }
}

async function openContext(
  options: DaemonOptions,
  parts: Base &
    Storage &
    Mesh &
    Service &
    Measured & {
      readonly balance: Balance | undefined
      readonly announce: (leftAt?: number) => void
    },
  cleanups: Cleanup[]
): Promise<DaemonContext> {
  const { dir, identity, clock, loadClock, random, log } = parts
  const { store, members, knowledge, host, rpc } = parts
  const { shards, map, gateway, moves, handoffs, load, calibration, limit, announce } = parts
  const nbd = createNbdServer({ clock, log })
  cleanups.push(() => nbd.close())
  return {
    self: selfInfo(dir, identity, clock, host),
    clock,
    loadClock,
    random,
    log,
    network: host,
    rpc,
    map,
    gateway: whileCertified(gateway, members),
    store,
    load,
    moves,
    balance: parts.balance,
    calibration,
    limit,
    settlers: {
      grantAsMover: request =>
        grantAsMover({ ...parts, self: { id: identity.id, host: identity.host } }, request)
    },
    members: memberOperations(members, map),
    exports: await openExports(dir, nbd, options.nbd),
    savedAttachments: openAttachmentFile(dir),
    shardCounters: () => shards?.stats().shards ?? [],
    problems: () =>
      problemsOf({
        now: () => clock.now(),
        certificateExpiresAt: () => members.identity().certificate.expiresAt,
        store,
        shards,
        handoffs,
        balance: parts.balance,
        mapStats: () => map.stats(),
        mesh: () => map.mesh(),
        knownPeers: () => knowledge.peers().length,
        connectedPeers: () => host.peers().length
      }),
    lastSeen: lastSeen(host, clock),
    leave: () => leave(dir, clock, announce, map),
    shutdown: reason => options.onShutdown?.(reason)
  }
}

/** The operator's word: the next start of these bytes comes after all that the mesh knows. */
async function continueFrom(
  { log, onShutdown }: DaemonOptions,
  { disk }: Storage,
  random: Random,
  last: number
): Promise<void> {
  try {
    await continueAfter(disk, random, log, last)
    onShutdown?.('a newer start of this node was known to the mesh; it is noted now: start again')
  } catch (error) {
    log.error({ error: messageOf(error) }, 'the newer start could not be noted: try again')
  }
}

// -- the end

function repeat(clock: Clock, everyMs: number, task: () => void): Cleanup {
  let timer = clock.after(everyMs, again)
  function again(): void {
    task()
    timer = clock.after(everyMs, again)
  }
  return () => timer.cancel()
}

async function cleanUp(cleanups: Cleanup[], log: Log): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) {
    try {
      await cleanup()
    } catch (error) {
      log.error({ error: messageOf(error) }, 'a part did not stop cleanly')
    }
  }
}
