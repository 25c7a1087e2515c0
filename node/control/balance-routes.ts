/**
 * The routes of balancing: what nodes say of it, how they are to do it, what they would do now, and
 * what became of what they did. Whatever node is asked: all are asked, unless one is named.
 */
import { Hono } from 'hono'
import { z } from 'zod'
import type { NodeEntry } from '../../crdt/types.ts'
import { settingsChangeSchema } from '../../protocols/balance/messages.ts'
import { MAX_RECEIPTS, RECEIPT_DAYS } from '../../protocols/balance/receipt-limits.ts'
import { ShoalError } from '../../protocols/fault.ts'
import { MAX_COUNTER, MAX_NAME_CHARS } from '../../protocols/limits.ts'
import { resolveNode, resolveVolume } from '../volumes/names.ts'
import type { ReceiptsDocument } from './balance-documents.ts'
import {
  balanceDocument,
  gatherReceipts,
  planDocument,
  receiptDocument,
  setDocument
} from './balance-views.ts'
import type { DaemonContext } from './context.ts'
import { check, readBody } from './errors.ts'
import { explainDocument } from './explain-view.ts'

const DEFAULT_SCORE_DAYS = 7
const DEFAULT_RECEIPTS = 100
/** A name, an id of a node (longer than a name), or two of them. */
const MAX_SUBJECT_CHARS = 4 * MAX_NAME_CHARS
const name = z.string().min(1).max(MAX_SUBJECT_CHARS)

const statusQuery = z.strictObject({
  node: name.optional(),
  days: z.coerce.number().int().min(1).max(RECEIPT_DAYS).default(DEFAULT_SCORE_DAYS)
})
const planQuery = z.strictObject({ node: name.optional() })
const setBody = z.strictObject({ node: name.optional(), ...settingsChangeSchema.shape })
const receiptsQuery = z.strictObject({
  sinceMs: z.coerce.number().min(0).max(MAX_COUNTER).optional(),
  volume: name.optional(),
  limit: z.coerce.number().int().min(1).max(MAX_RECEIPTS).default(DEFAULT_RECEIPTS)
})
const explainQuery = z.strictObject({ subject: name })

export function balanceRoutes(context: DaemonContext): Hono {
  const routes = new Hono()
  const nodeOf = (text: string | undefined) => (text ? storageNode(context, text) : undefined)
  routes.get('/v1/balance', async c => {
    const { node, days } = check(c.req.query(), statusQuery)
    return c.json(await balanceDocument(context, days, nodeOf(node)))
  })
  routes.post('/v1/balance', async c => {
    const { node, ...change } = await readBody(c, setBody)
    if (Object.keys(change).length === 0) {
      throw new ShoalError({ code: 'BAD_INPUT' }, 'nothing is to be changed: name a setting')
    }
    return c.json(await setDocument(context, change, nodeOf(node)))
  })
  routes.get('/v1/balance/plan', async c => {
    const { node } = check(c.req.query(), planQuery)
    return c.json(await planDocument(context, nodeOf(node)))
  })
  routes.get('/v1/receipts', async c => {
    const { sinceMs, volume, limit } = check(c.req.query(), receiptsQuery)
    const query = {
      ...(sinceMs === undefined ? {} : { since: sinceMs }),
      ...(volume === undefined ? {} : { volume: resolveVolume(context.map, volume) })
    }
    const { receipts, silent } = await gatherReceipts(context, query, limit)
    const found = receipts.map(receipt => receiptDocument(context, receipt))
    return c.json({ receipts: found, silent } satisfies ReceiptsDocument)
  })
  routes.get('/v1/explain', async c => {
    const { subject } = check(c.req.query(), explainQuery)
    return c.json(await explainDocument(context, subject))
  })
  return routes
}

function storageNode({ map }: DaemonContext, nameOrId: string): NodeEntry {
  const node = resolveNode(map.mesh(), nameOrId)
  if (node.capacityBytes > 0) return node
  throw new ShoalError(
    { code: 'BAD_INPUT', field: 'node' },
    `node ${node.name} is a gateway without capacity: it holds nothing to balance`
  )
}
