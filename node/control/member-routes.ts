/** Invite, revoke and leave: the routes, and the checks that no data is lost by them. */
import { Hono } from 'hono'
import { z } from 'zod'
import { DEFAULT_INVITE_MS, MAX_INVITE_MS } from '../../protocols/admission/limits.ts'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeId } from '../../protocols/ids.ts'
import type { DrainStatus } from '../../protocols/moves/messages.ts'
import { MAX_PARALLEL_CALLS } from '../limits.ts'
import { isVacant } from '../moves/held.ts'
import type { ShardRecord } from '../storage/types.ts'
import { liveNodes } from '../volumes/candidates.ts'
import { mapConcurrently } from '../volumes/concurrency.ts'
import { resolveNode, volumeName } from '../volumes/names.ts'
import { shardNodes } from '../volumes/shards.ts'
import type { DaemonContext } from './context.ts'
import { readBody } from './errors.ts'
import { viewOf } from './volume-documents.ts'

const inviteSchema = z.strictObject({
  role: z.enum(['admin', 'node']).default('node'),
  validMs: z.number().int().min(1000).max(MAX_INVITE_MS).default(DEFAULT_INVITE_MS)
})
const forceSchema = z.strictObject({ force: z.boolean().default(false) })
const leaveSchema = forceSchema.extend({ cancel: z.boolean().default(false) })

export function memberRoutes(context: DaemonContext): Hono {
  const routes = new Hono()
  routes.post('/v1/invites', async c => {
    return c.json(await context.members.createInvite(await readBody(c, inviteSchema)))
  })
  routes.post('/v1/nodes/:node/revoke', async c => {
    const { force } = await readBody(c, forceSchema)
    return c.json(await revoke(context, c.req.param('node'), force))
  })
  routes.post('/v1/leave', async c => {
    const { force, cancel } = await readBody(c, leaveSchema)
    if (cancel) return c.json(await stay(context))
    const leaving = await leave(context, force)
    return c.json(leaving, 'left' in leaving ? 200 : 202)
  })
  return routes
}

async function revoke(
  context: DaemonContext,
  nameOrId: string,
  force: boolean
): Promise<{ node: NodeId; name: string; volumes: string[] }> {
  const node = resolveNode(context.map.mesh(), nameOrId)
  if (node.id === context.self.id) {
    throw new ShoalError(
      { code: 'BAD_INPUT', field: 'node' },
      'a node does not revoke itself: run `shoal leave`, or revoke it on another admin'
    )
  }
  const volumes = await volumesOn(context, node.id)
  if (volumes.length > 0 && !force) {
    throw new ShoalError(
      { code: 'NEEDS_FORCE', why: 'the node holds the only copy of data' },
      `node ${node.name} holds the only copy of data of ${volumes.join(', ')}: copy these ` +
        'volumes away first, or pass --force to give that data up'
    )
  }
  await context.members.revoke(node.id)
  return { node: node.id, name: node.name, volumes }
}

/** Volumes with a shard on the node, as far as the map says; one that cannot be read counts. */
async function volumesOn(context: DaemonContext, node: NodeId): Promise<string[]> {
  const volumes = [...context.map.mesh().volumes.values()]
  const held = await mapConcurrently(volumes, MAX_PARALLEL_CALLS, async ({ id, name }) => {
    const view = await viewOf(context, id)
    if (view === undefined) return [`${name} (perhaps: its document cannot be read now)`]
    return shardNodes(view).includes(node) ? [name] : []
  })
  return held.flat()
}

/** What `shoal leave` is told: it is done, or chunks are still on their way to other nodes. */
type Leaving = { readonly left: string } | { readonly draining: DrainStatus }

/** Drains first; called again once the node is empty. */
async function leave(context: DaemonContext, force: boolean): Promise<Leaving> {
  const { store, self, moves } = context
  refuseAttached(context)
  refuseLastAdmin(context, force)
  const kept = (store?.shards() ?? []).filter(shard => !isVacant(shard))
  if (kept.length > 0 && moves === undefined) throw holdsChunks(context, kept)
  if (moves !== undefined && (kept.length > 0 || moves.draining() !== undefined)) {
    const draining = await moves.drain('leave')
    if (draining.state !== 'drained') return { draining }
  }
  await context.leave()
  context.shutdown('the node left the mesh')
  return { left: self.mesh }
}

async function stay(context: DaemonContext): Promise<{ draining: DrainStatus }> {
  const purpose = context.moves?.draining()
  if (context.moves === undefined || purpose !== 'leave') {
    throw new ShoalError(
      { code: 'CONFLICT', what: context.self.name },
      'this node is not leaving' +
        (purpose === undefined ? '' : '; it is drained: `shoal drain NODE --cancel` calls that off')
    )
  }
  return { draining: await context.moves.undrain() }
}

function holdsChunks(context: DaemonContext, kept: readonly ShardRecord[]): ShoalError {
  const volumes = kept.map(shard => volumeName(context.map.mesh(), shard.spec.id))
  return new ShoalError(
    { code: 'HOLDS_CHUNKS', volumes },
    `this node holds chunks of ${volumes.join(', ')}, and cannot move them now`
  )
}

function refuseAttached({ gateway, map }: DaemonContext): void {
  const mesh = map.mesh()
  const attached = [...gateway.attachments().keys()].map(id => volumeName(mesh, id))
  if (attached.length === 0) return
  throw new ShoalError(
    { code: 'CONFLICT', what: attached.join(', ') },
    `${attached.join(', ')} attached here: run \`shoal volume detach\` first`
  )
}

function refuseLastAdmin({ map, self }: DaemonContext, force: boolean): void {
  const others = liveNodes(map.mesh()).filter(node => node.id !== self.id)
  const isLast =
    self.role === 'admin' && others.length > 0 && !others.some(node => node.role === 'admin')
  if (!isLast || force) return
  throw new ShoalError(
    { code: 'NEEDS_FORCE', why: 'the last admin leaves' },
    'this is the only admin: without one nobody can be invited, renewed or revoked. Join ' +
      'another with `shoal invite --admin`, or pass --force'
  )
}
