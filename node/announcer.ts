/** What a node tells the mesh of itself: that it is there, where, and that it has left for good. */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { NodeEntry } from '../crdt/types.ts'
import { ShoalError } from '../protocols/fault.ts'
import type { Incarnation } from '../protocols/ids.ts'
import type { Host } from './host/host.ts'
import { LEAVE_SPREAD_MS } from './limits.ts'
import type { ShardMap } from './map/types.ts'
import type { Identity } from './members/identity.ts'
import type { Clock } from './ports.ts'
import { VERSION } from './version.ts'

const LEFT_FILE = 'left'

/** Announces this node as it is now, if the map does not say so already. */
export function announcer(
  identity: Identity,
  host: Host,
  map: ShardMap,
  incarnation: Incarnation
): (leftAt?: number) => void {
  return leftAt => {
    const { id, name, region, host: machine, role, capacityBytes } = identity
    const addresses = host.addresses()
    const entry: NodeEntry = {
      id,
      name,
      region,
      host: machine,
      role,
      capacityBytes,
      addresses,
      incarnation,
      version: VERSION,
      ...(leftAt === undefined ? {} : { leftAt })
    }
    const known = map.mesh().nodes.get(id)
    const isKnown = known !== undefined && sameEntry(known, entry)
    if (!isKnown) map.announceNode(entry)
  }
}

function sameEntry(a: NodeEntry, b: NodeEntry): boolean {
  const text = (entry: NodeEntry): string => JSON.stringify(Object.entries(entry).sort())
  return text(a) === text(b)
}

/** The node has left for good: the mesh is told, and the directory refuses to start again. */
export async function leave(
  dir: string,
  clock: Clock,
  announce: (leftAt?: number) => void,
  map: ShardMap
): Promise<void> {
  announce(clock.now())
  await map.flush()
  writeFileSync(join(dir, LEFT_FILE), `${new Date(clock.now()).toISOString()}\n`, { flush: true })
  await new Promise<void>(done => {
    clock.after(LEAVE_SPREAD_MS, done)
  })
}

/** Throws ShoalError DATA_DIR. */
export function refuseIfLeft(dir: string): void {
  if (!existsSync(join(dir, LEFT_FILE))) return
  throw new ShoalError(
    { code: 'DATA_DIR', dir, problem: 'foreign' },
    `${dir}: this node has left its mesh. Remove the directory, and join anew with an invite`
  )
}
