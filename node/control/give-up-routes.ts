/** Giving a node up for good: what it means, before; and what became of it, after. */
import { Hono } from 'hono'
import { z } from 'zod'
import type { NodeEntry } from '../../crdt/types.ts'
import { ShoalError } from '../../protocols/fault.ts'
import { formatSize } from '../../protocols/layout/sizes.ts'
import {
  explainGiveUp,
  type GiveUpPlan,
  type OpenHandoff,
  type Settled,
  settleGivenUp
} from '../moves/give-up.ts'
import { resolveNode, volumeName } from '../volumes/names.ts'
import { nodeName } from '../volumes/shards.ts'
import type { DaemonContext } from './context.ts'
import type { GiveUpDocument, HandoffDocument } from './documents.ts'
import { readBody } from './errors.ts'

const giveUpSchema = z.strictObject({ acceptLoss: z.boolean().default(false) })

export function giveUpRoutes(context: DaemonContext): Hono {
  const routes = new Hono()
  routes.get('/v1/nodes/:node/give-up', async c => {
    const node = otherNode(context, c.req.param('node'))
    return c.json(planDocument(context, node, await explainGiveUp(context, node.id)))
  })
  routes.post('/v1/nodes/:node/give-up', async c => {
    const { acceptLoss } = await readBody(c, giveUpSchema)
    return c.json(await giveUp(context, otherNode(context, c.req.param('node')), acceptLoss))
  })
  return routes
}

function otherNode(context: DaemonContext, nameOrId: string): NodeEntry {
  const node = resolveNode(context.map.mesh(), nameOrId)
  if (node.id !== context.self.id) return node
  throw new ShoalError(
    { code: 'BAD_INPUT', field: 'node' },
    'a node does not give itself up: run `shoal leave`, or give it up on another admin'
  )
}

async function giveUp(
  context: DaemonContext,
  node: NodeEntry,
  acceptLoss: boolean
): Promise<GiveUpDocument> {
  const plan = await explainGiveUp(context, node.id)
  const isRevoked = context.map.mesh().revocations.has(node.id)
  if (!isRevoked) {
    refuseLoss(context, node, plan, acceptLoss)
    await context.members.revoke(node.id)
  }
  const settled = await settleGivenUp(context, context.settlers, plan, {
    node: node.id,
    acceptLoss
  })
  context.log.warn({ node: node.id, losses: plan.losses, acceptLoss }, 'a node was given up')
  return { ...planDocument(context, node, plan), isRevoked: true, ...settledOf(context, settled) }
}

/** Copies that are prepared elsewhere count as a loss only once the holder says that they may be. */
function refuseLoss(
  context: DaemonContext,
  node: NodeEntry,
  plan: GiveUpPlan,
  acceptLoss: boolean
): void {
  if (acceptLoss) return
  const mesh = context.map.mesh()
  const lost = plan.losses.map(
    loss => `${volumeName(mesh, loss.volume)} (up to ${formatSize(loss.mostBytes)})`
  )
  const perhaps = plan.unknown.map(id => `${volumeName(mesh, id)} (perhaps: it cannot be read now)`)
  const volumes = [...lost, ...perhaps]
  if (volumes.length === 0) return
  throw new ShoalError(
    { code: 'NEEDS_FORCE', why: 'the node holds the only copy of data' },
    `node ${node.name} holds the only copy of data of ${volumes.join(', ')}: bring it back, or ` +
      'pass --accept-loss to give that data up for good'
  )
}

function planDocument(context: DaemonContext, node: NodeEntry, plan: GiveUpPlan): GiveUpDocument {
  const mesh = context.map.mesh()
  return {
    node: node.id,
    name: node.name,
    isRevoked: mesh.revocations.has(node.id),
    connected: context.network.peers().includes(node.id),
    losses: plan.losses.map(loss => ({ ...loss, name: volumeName(mesh, loss.volume) })),
    unknown: plan.unknown.map(id => volumeName(mesh, id)),
    attached: plan.attached.map(id => volumeName(mesh, id)),
    silent: plan.silent.map(id => nodeName(mesh, id)),
    handoffs: plan.handoffs.map(one => handoffDocument(context, one))
  }
}

function settledOf(
  context: DaemonContext,
  settled: readonly Settled[]
): Pick<GiveUpDocument, 'handoffs'> {
  return {
    handoffs: settled.map(one => {
      const { outcome, why } = one
      return { ...handoffDocument(context, one), outcome, why }
    })
  }
}

function handoffDocument(context: DaemonContext, one: OpenHandoff): HandoffDocument {
  const mesh = context.map.mesh()
  const { volume, extent, column } = one.chunk
  return {
    is: one.is,
    handoff: one.handoff,
    volume,
    volumeName: volumeName(mesh, volume),
    extent,
    column,
    source: nodeName(mesh, one.source),
    target: nodeName(mesh, one.target)
  }
}
