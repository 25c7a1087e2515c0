/** The routes of what people declare about a volume's load: its patterns, and its time zone. */
import { type Context, Hono } from 'hono'
import { z } from 'zod'
import type { PatternEntry } from '../../crdt/types.ts'
import { addPattern, declaredOf, removePatterns, setZone } from '../volumes/patterns.ts'
import type { Volumes } from '../volumes/volumes.ts'
import type { DaemonContext } from './context.ts'
import { readBody } from './errors.ts'
import type { PatternDocument, PatternsDocument, ZoneDocument } from './load-documents.ts'

// Values are checked where they are used: the words there say what to type instead.
const text = z.string().max(1_000)
const patternSchema = z.strictObject({
  when: text,
  minutes: z.number(),
  iops: z.number().optional(),
  bytesPerSecond: z.number().optional()
})
const zoneSchema = z.strictObject({ zone: text })

export function patternRoutes(context: DaemonContext, volumes: Volumes): Hono {
  const routes = new Hono()
  const idOf = (c: Context) => volumes.resolve(c.req.param('volume') ?? '')
  routes.get('/v1/volumes/:volume/patterns', async c => {
    const { zone, patterns } = await declaredOf(context, idOf(c))
    return c.json(patternsDocument(zone, patterns))
  })
  routes.post('/v1/volumes/:volume/patterns', async c => {
    const id = idOf(c)
    const { when, minutes, iops = 0, bytesPerSecond = 0 } = await readBody(c, patternSchema)
    const wish = { when, minutes, iops, bytesPerSecond }
    const { zone, added } = await addPattern(context, id, wish)
    return c.json(patternDocument(zone, added), 201)
  })
  routes.delete('/v1/volumes/:volume/patterns/:id', async c => {
    const { zone, patterns } = await removePatterns(context, idOf(c), c.req.param('id'))
    return c.json(patternsDocument(zone, patterns))
  })
  routes.get('/v1/volumes/:volume/zone', async c => {
    const { zone } = await declaredOf(context, idOf(c))
    return c.json({ zone } satisfies ZoneDocument)
  })
  routes.put('/v1/volumes/:volume/zone', async c => {
    const id = idOf(c)
    const { zone } = await readBody(c, zoneSchema)
    await setZone(context, id, zone)
    return c.json({ zone } satisfies ZoneDocument)
  })
  return routes
}

function patternsDocument(zone: string, patterns: readonly PatternEntry[]): PatternsDocument {
  return { zone, patterns: patterns.map(pattern => patternDocument(zone, pattern)) }
}

export function patternDocument(zone: string, pattern: PatternEntry): PatternDocument {
  const { id, when, minutes, iops, bytesPerSecond } = pattern
  return { id, when, minutes, iops, bytesPerSecond, zone }
}
