/** The routes of what people set for balancing: of a volume, and between regions. */
import { Hono } from 'hono'
import { z } from 'zod'
import { defaultLinkFactor, type LinkCost } from '../../protocols/balance/links.ts'
import { regionsOf } from '../volumes/names.ts'
import { setLink, setPolicy } from '../volumes/policy.ts'
import type { Volumes } from '../volumes/volumes.ts'
import type { DaemonContext } from './context.ts'
import type { LinksDocument } from './documents.ts'
import { readBody } from './errors.ts'

// Values are checked where they are used: the words there say what to type instead.
const number = z.number().nullable().optional()
const changeSchema = z.strictObject({
  isOn: z.boolean().optional(),
  regions: z.array(z.string().max(1_000)).max(1_000).nullable().optional(),
  maxRttMs: number,
  horizonMinutes: number,
  thresholdPart: number,
  maxIops: number,
  movesPerHour: number,
  bytesPerHour: number
})
const linkSchema = z.strictObject({ factor: z.union([z.number(), z.literal('never'), z.null()]) })

export function volumePolicyRoutes(context: DaemonContext, volumes: Volumes): Hono {
  const routes = new Hono()
  routes.get('/v1/volumes/:volume/policy', async c => {
    const view = await context.map.fetchVolume(volumes.resolve(c.req.param('volume')))
    return c.json(view.policy)
  })
  routes.patch('/v1/volumes/:volume/policy', async c => {
    const id = volumes.resolve(c.req.param('volume'))
    return c.json(await setPolicy(context, id, await readBody(c, changeSchema)))
  })
  routes.get('/v1/balance/links', c => c.json(linksDocument(context, context.map.mesh().links)))
  routes.put('/v1/balance/links/:one/:other', async c => {
    const { factor } = await readBody(c, linkSchema)
    const pair = [c.req.param('one'), c.req.param('other')] as const
    return c.json(linksDocument(context, await setLink(context, pair, factor ?? undefined)))
  })
  return routes
}

function linksDocument({ map }: DaemonContext, links: readonly LinkCost[]): LinksDocument {
  return {
    regions: regionsOf(map.mesh()),
    links,
    between: defaultLinkFactor('a', 'b'),
    within: defaultLinkFactor('a', 'a')
  }
}
