/**
 * The routes of moves and drains. Whatever node is asked: the request goes to the node from which
 * the chunks move, and the list is gathered from all of them.
 */
import { Hono } from 'hono'
import { z } from 'zod'
import type { NodeEntry } from '../../crdt/types.ts'
import { ShoalError } from '../../protocols/fault.ts'
import { MAX_COLUMNS } from '../../protocols/limits.ts'
import { MAX_HOTTEST, MAX_LISTED_ENDED, MAX_WHY_CHARS } from '../../protocols/moves/limits.ts'
import { boundSchema, type DrainStatus } from '../../protocols/moves/messages.ts'
import { DEFAULT_LISTED_ENDED } from '../limits.ts'
import {
  cancelMove,
  drainNode,
  drainStatusOf,
  listMoves,
  type NodeMoves,
  setRate,
  startMove,
  undrainNode
} from '../moves/ask.ts'
import { printable, resolveNode, resolveVolume } from '../volumes/names.ts'
import type { DaemonContext } from './context.ts'
import type { DrainDocument, MoveDocument, MovesDocument } from './documents.ts'
import { check, readBody } from './errors.ts'
import {
  isMovePrefix,
  moveDetail,
  moveDocument,
  noSuchMove,
  withReceipts
} from './move-receipts.ts'

const MAX_NAME_TEXT = 10_000
const name = z.string().max(MAX_NAME_TEXT)
const extent = z.number().int().min(0).max(0xffff_ffff)
const column = z
  .number()
  .int()
  .min(0)
  .max(MAX_COLUMNS - 1)

const startSchema = z.strictObject({
  volume: name,
  from: name,
  to: name,
  extents: z
    .strictObject({ from: extent, to: extent })
    .refine(({ from, to }) => from < to, 'an empty range of extents')
    .optional(),
  columns: z.array(column).min(1).max(MAX_COLUMNS).optional(),
  hottest: z.number().int().min(1).max(MAX_HOTTEST).optional(),
  why: z.string().max(MAX_WHY_CHARS).default('asked for by an operator')
})
const rateSchema = z.strictObject({ bytesPerSecond: boundSchema, node: name.optional() })
const listSchema = z.strictObject({
  ended: z.coerce.number().int().min(0).max(MAX_LISTED_ENDED).default(DEFAULT_LISTED_ENDED)
})
const nothing = z.strictObject({})

export function moveRoutes(context: DaemonContext): Hono {
  const routes = new Hono()
  routes.get('/v1/moves', async c => {
    const { ended } = check(c.req.query(), listSchema)
    const nodes = await listMoves(context, ended)
    return c.json(await withReceipts(context, movesDocument(context, nodes, ended), ended))
  })
  routes.get('/v1/moves/:id', async c => {
    return c.json(await moveDetail(context, movePrefix(c.req.param('id'))))
  })
  routes.post('/v1/moves', async c => {
    const { volume, from, to, why, ...selection } = await readBody(c, startSchema)
    const mesh = context.map.mesh()
    const source = storageNode(context, from, 'from')
    const wish = {
      volume: resolveVolume(context.map, volume),
      to: resolveNode(mesh, to).id,
      selection,
      why
    }
    return c.json(moveDocument(context, await startMove(context, source.id, wish)), 201)
  })
  routes.post('/v1/moves/rate', async c => {
    const { bytesPerSecond, node } = await readBody(c, rateSchema)
    const where = storageNode(context, node ?? context.self.id, 'node')
    await setRate(context, where.id, bytesPerSecond)
    return c.json({ node: where.id, name: where.name, bytesPerSecond })
  })
  routes.delete('/v1/moves/:id', async c => {
    return c.json(await cancel(context, movePrefix(c.req.param('id'))))
  })
  drainRoutes(context, routes)
  return routes
}

function drainRoutes(context: DaemonContext, routes: Hono): void {
  const nodeOf = (text: string | undefined) => storageNode(context, text ?? '', 'node')
  routes.get('/v1/nodes/:node/drain', async c => {
    const node = nodeOf(c.req.param('node'))
    return c.json(drainDocument(node, await drainStatusOf(context, node.id)))
  })
  routes.post('/v1/nodes/:node/drain', async c => {
    await readBody(c, nothing)
    const node = nodeOf(c.req.param('node'))
    return c.json(drainDocument(node, await drainNode(context, node.id, 'maintenance')))
  })
  routes.delete('/v1/nodes/:node/drain', async c => {
    const node = nodeOf(c.req.param('node'))
    return c.json(drainDocument(node, await undrainNode(context, node.id)))
  })
}

/** A member with a store, by name or id. */
function storageNode(context: DaemonContext, nameOrId: string, field: string): NodeEntry {
  const node = resolveNode(context.map.mesh(), nameOrId)
  if (node.capacityBytes > 0) return node
  throw new ShoalError(
    { code: 'BAD_INPUT', field },
    `node ${node.name} is a gateway without capacity: it holds no chunks`
  )
}

async function cancel(context: DaemonContext, prefix: string): Promise<MoveDocument> {
  const nodes = await listMoves(context, MAX_LISTED_ENDED)
  const all = nodes.flatMap(({ list }) => list?.moves ?? [])
  const found = all.filter(move => move.id.startsWith(prefix))
  const open = found.filter(move => move.endedAt === undefined)
  const [move] = open.length > 0 ? open : found
  if (open.length > 1) {
    const ids = open.map(one => one.id)
    throw new ShoalError(
      { code: 'NAME_AMBIGUOUS', name: prefix, ids },
      `${open.length} moves begin with ${prefix}: type more of the id`
    )
  }
  if (move === undefined) throw noSuchMove(prefix, silentNames(nodes))
  return moveDocument(context, await cancelMove(context, move.from, move.id))
}

/** An id, or the beginning of one. Throws BAD_INPUT. */
function movePrefix(text: string): string {
  if (isMovePrefix(text)) return text
  throw new ShoalError(
    { code: 'BAD_INPUT', field: 'id' },
    `${printable(text)} is no id of a move: \`shoal moves\` lists them`
  )
}

function silentNames(nodes: readonly NodeMoves[]): string[] {
  return nodes.flatMap(({ node, list }) => (list === undefined ? [node.name] : []))
}

const ORDER = { running: 0, queued: 1, done: 2, failed: 2, cancelled: 2 }

/** Running, then queued (the oldest first), then ended (the youngest first). */
function movesDocument(
  context: DaemonContext,
  nodes: readonly NodeMoves[],
  ended: number
): MovesDocument {
  const moves = nodes.flatMap(({ list }) => list?.moves ?? [])
  const open = moves.filter(move => move.endedAt === undefined)
  const over = moves.filter(move => move.endedAt !== undefined)
  open.sort((a, b) => ORDER[a.state] - ORDER[b.state] || a.since - b.since)
  over.sort((a, b) => (b.endedAt ?? 0) - (a.endedAt ?? 0))
  return {
    moves: [...open, ...over.slice(0, ended)].map(move => moveDocument(context, move)),
    nodes: nodes.flatMap(({ node, list }) => {
      if (list === undefined) return []
      const { bound, rate, drain } = list
      return [{ node: node.id, name: node.name, bound, rate, drain }]
    }),
    at: context.loadClock.now(),
    zone: context.load.options.zone,
    silent: silentNames(nodes)
  }
}

export function drainDocument(node: NodeEntry, drain: DrainStatus): DrainDocument {
  return { node: node.id, name: node.name, drain }
}
