/** The routes of volumes. Import and export stream their progress as lines of JSON (NDJSON). */
import { type Context, Hono } from 'hono'
import { stream } from 'hono/streaming'
import { z } from 'zod'
import { messageOf } from '../../protocols/fault.ts'
import { MAX_PATTERNS } from '../../protocols/forecast/limits.ts'
import { MAX_NAME_CHARS, MAX_VOLUME_BYTES } from '../../protocols/limits.ts'
import { PROGRESS_INTERVAL_MS } from '../limits.ts'
import { askNodes } from '../volumes/candidates.ts'
import { openImageSource, streamSource } from '../volumes/image.ts'
import { nodeName } from '../volumes/shards.ts'
import type { TransferOptions, TransferProgress, TransferResult } from '../volumes/types.ts'
import type { ImportWish, Volumes } from '../volumes/volumes.ts'
import type { DaemonContext } from './context.ts'
import { check, errorDocument, readBody } from './errors.ts'
import { readable } from './streams.ts'
import { createdDocument, describeVolume, summarizeVolumes } from './volume-documents.ts'

const MAX_PATH_CHARS = 4096
const bytes = z.number().int().min(1).max(MAX_VOLUME_BYTES)
const count = z.number().int().min(1)
const name = z.string().max(10_000)

const patternSchema = z.strictObject({
  when: z.string().max(1_000),
  minutes: z.number(),
  iops: z.number(),
  bytesPerSecond: z.number()
})
const wishShape = {
  expectedIops: count.optional(),
  near: name.max(MAX_NAME_CHARS * 2).optional(),
  stripeUnitBytes: bytes.optional(),
  shards: count.optional(),
  zone: z.string().max(1_000).optional(),
  // Checked where it is used.
  maxIops: z.number().optional(),
  patterns: z.array(patternSchema).max(MAX_PATTERNS).optional()
}
// Sizes are checked where they are used: the words there say what to type instead.
const createSchema = z.strictObject({ name, sizeBytes: z.number(), ...wishShape })
const changeSchema = z
  .strictObject({ name: name.optional(), sizeBytes: z.number().optional() })
  .refine(change => (change.name === undefined) !== (change.sizeBytes === undefined), {
    message: 'give either name or sizeBytes'
  })
const attachSchema = z.strictObject({
  takeOver: z.boolean().optional(),
  timeoutMs: z.number().int().min(0).max(3_600_000).optional()
})
const exportSchema = z.strictObject({ path: z.string().min(1).max(MAX_PATH_CHARS) })
const importShape = { sizeBytes: z.number().optional(), overwrite: z.boolean().optional() }
const importSchema = z.strictObject({
  path: z.string().min(1).max(MAX_PATH_CHARS),
  ...importShape,
  ...wishShape
})
const streamSchema = z.strictObject({ ...importShape, ...wishShape })

export function volumeRoutes(context: DaemonContext, volumes: Volumes): Hono {
  const routes = new Hono()
  const idOf = (c: Context) => volumes.resolve(c.req.param('volume') ?? '')
  routes.get('/v1/volumes', async c => {
    return c.json({ volumes: await summarizeVolumes(context, await askNodes(context)) })
  })
  routes.post('/v1/volumes', async c => {
    const created = await volumes.create(await readBody(c, createSchema))
    return c.json(createdDocument(context.map.mesh(), created), 201)
  })
  routes.get('/v1/volumes/:volume', async c => {
    const id = idOf(c)
    return c.json(await describeVolume(context, await askNodes(context), id))
  })
  routes.patch('/v1/volumes/:volume', async c => {
    const id = idOf(c)
    const change = await readBody(c, changeSchema)
    if (change.name !== undefined) {
      await volumes.rename(id, change.name)
      return c.json({ id, name: change.name })
    }
    const sizeBytes = change.sizeBytes ?? 0
    return c.json({ id, sizeBytes, ...(await volumes.resize(id, sizeBytes)) })
  })
  routes.delete('/v1/volumes/:volume', async c => {
    const removed = await volumes.remove(idOf(c), { force: c.req.query('force') === 'true' })
    const pending = removed.pending.map(id => nodeName(context.map.mesh(), id))
    return c.json({ ...removed, pending })
  })
  routes.post('/v1/volumes/:volume/attach', async c => {
    const id = idOf(c)
    const { point, ...attached } = await volumes.attach(id, await readBody(c, attachSchema))
    return c.json({ ...attached, ...point })
  })
  routes.post('/v1/volumes/:volume/detach', async c => {
    const id = idOf(c)
    await volumes.detach(id)
    return c.json({ id })
  })
  routes.post('/v1/volumes/:volume/export', async c => {
    const id = idOf(c)
    const { path } = await readBody(c, exportSchema)
    return transfer(c, context, options => volumes.export(id, path, options))
  })
  routes.post('/v1/volumes/:volume/import', async c => {
    const { path, ...rest } = await readBody(c, importSchema)
    const source = await openImageSource(path)
    const wish: ImportWish = { ...rest, name: c.req.param('volume') }
    return transfer(c, context, options => volumes.import(wish, source, options))
  })
  return routes
}

/** Apart from the others, because its body has no bound. */
export function streamedImportRoute(context: DaemonContext, volumes: Volumes): Hono {
  const routes = new Hono()
  routes.post('/v1/volumes/:volume/import-stream', async c => {
    const query = Object.entries(c.req.query()).map(([key, value]) => [key, parse(value)])
    const { sizeBytes, ...rest } = check(Object.fromEntries(query), streamSchema)
    const source = streamSource(readable(c.req.raw.body), undefined)
    const wish: ImportWish = { ...rest, sizeBytes, name: c.req.param('volume') }
    return transfer(c, context, options => volumes.import(wish, source, options))
  })
  return routes
}

/** A value of a query: JSON where it is one, else text. */
function parse(value: string): unknown {
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

/** Lines of {progress}, then one of {result} or {error}. A client that goes away stops the work. */
function transfer(
  c: Context,
  { clock, log }: DaemonContext,
  work: (options: TransferOptions) => Promise<TransferResult>
): Response {
  c.header('content-type', 'application/x-ndjson')
  return stream(c, async out => {
    const abort = new AbortController()
    out.onAbort(() => abort.abort(new Error('the client went away')))
    const line = (document: object) => out.write(`${JSON.stringify(document)}\n`)
    let nextMs = clock.monotonicMs()
    const onProgress = (progress: TransferProgress) => {
      if (clock.monotonicMs() < nextMs) return
      nextMs = clock.monotonicMs() + PROGRESS_INTERVAL_MS
      line({ progress }).catch(() => undefined)
    }
    try {
      await line({ result: await work({ onProgress, signal: abort.signal }) })
    } catch (error) {
      log.info({ error: messageOf(error) }, 'a transfer failed')
      await line(errorDocument(error))
    }
  })
}
