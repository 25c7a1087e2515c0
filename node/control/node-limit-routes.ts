/** The routes of what this node serves at most. */
import { Hono } from 'hono'
import { z } from 'zod'
import { ShoalError } from '../../protocols/fault.ts'
import type { NodeLimit } from '../load/node-limit.ts'
import type { DaemonContext } from './context.ts'
import type { NodeLimitDocument } from './documents.ts'
import { readBody } from './errors.ts'

const limitSchema = z.strictObject({ maxLoad: z.number().nullable() })

export function nodeLimitRoutes(context: DaemonContext): Hono {
  const routes = new Hono()
  const own = () => context.limit ?? refuse(context)
  routes.get('/v1/node/limits', c => c.json(documentOf(own())))
  routes.put('/v1/node/limits', async c => {
    const { maxLoad } = await readBody(c, limitSchema)
    const limit = own()
    await limit.set(maxLoad ?? undefined)
    // Thresholds follow now, and not only with the next minute.
    context.load.subjects.look()
    return c.json(documentOf(limit))
  })
  return routes
}

function documentOf(limit: NodeLimit): NodeLimitDocument {
  return { maxLoad: limit.maxLoad() ?? null, kept: limit.kept() ?? null }
}

function refuse({ self }: DaemonContext): never {
  throw new ShoalError(
    { code: 'CONFLICT', what: self.name },
    `node ${self.name} keeps no data, so it serves nothing that could be bounded`
  )
}
