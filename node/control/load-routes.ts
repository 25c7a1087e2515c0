/** The routes of load: what is, what is foretold, history out and in. */
import { Hono } from 'hono'
import { stream } from 'hono/streaming'
import { z } from 'zod'
import { messageOf } from '../../protocols/fault.ts'
import { MAX_COUNTER, MAX_NAME_CHARS } from '../../protocols/limits.ts'
import { resolveVolume } from '../volumes/names.ts'
import type { DaemonContext } from './context.ts'
import { check } from './errors.ts'
import { forecastDocument, forecastQuery } from './forecast-view.ts'
import { exportLoad } from './load-export.ts'
import { importLoad } from './load-import.ts'
import { topDocument } from './load-views.ts'
import { readable } from './streams.ts'

const DEFAULT_SINCE_MS = 7 * 86_400_000
const time = z.coerce.number().min(0).max(MAX_COUNTER)
const name = z.string().min(1).max(MAX_NAME_CHARS)

const topQuery = z.strictObject({ top: z.coerce.number().int().min(1).optional() })

const exportQuery = z.strictObject({
  sinceMs: time.optional(),
  untilMs: time.optional(),
  step: z.enum(['1s', '1m', '1h']).default('1m'),
  volume: name.optional()
})
const STEPS = { '1s': 'second', '1m': 'minute', '1h': 'hour' } as const

export function loadRoutes(context: DaemonContext): Hono {
  const routes = new Hono()
  routes.get('/v1/load', async c => {
    const { top } = check(c.req.query(), topQuery)
    return c.json(await topDocument(context, top))
  })
  routes.get('/v1/load/forecast', async c => {
    return c.json(await forecastDocument(context, check(c.req.query(), forecastQuery)))
  })
  routes.get('/v1/load/export', c => {
    const { sinceMs, untilMs, step, volume } = check(c.req.query(), exportQuery)
    const nowMs = context.loadClock.now()
    const lines = exportLoad(context, {
      volume: volume === undefined ? undefined : resolveVolume(context.map, volume),
      step: STEPS[step],
      fromMs: sinceMs ?? nowMs - DEFAULT_SINCE_MS,
      toMs: untilMs ?? nowMs
    })
    c.header('content-type', 'text/csv; charset=utf-8')
    return stream(
      c,
      async out => {
        for await (const piece of lines) await out.write(piece)
      },
      async error => {
        // The length was not announced: a client sees that the stream broke off.
        context.log.warn({ error: messageOf(error) }, 'an export of load broke off')
        throw error
      }
    )
  })
  return routes
}

const importQuery = z.strictObject({ volume: name.optional() })

/** Apart from the others, because its body has no bound. */
export function loadImportRoute(context: DaemonContext): Hono {
  const routes = new Hono()
  routes.post('/v1/load/import', async c => {
    const { volume } = check(c.req.query(), importQuery)
    return c.json(await importLoad(context, readable(c.req.raw.body), volume))
  })
  return routes
}
