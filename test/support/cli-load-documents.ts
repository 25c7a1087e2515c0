/** Documents about load as a daemon sends them, and a control API that answers with them. */
import type { HttpBindings } from '@hono/node-server'
import { Hono } from 'hono'
import type {
  ForecastDocument,
  ImportDocument,
  LoadDocument,
  NodeLoadDocument,
  TopDocument
} from '../../node/control/load-documents.ts'
import { IDLE } from '../../protocols/load/record.ts'

const MINUTE_MS = 60_000

export const AT = Date.UTC(2026, 0, 15, 13, 7, 5)

export function loadDocument(load: number, more: Partial<LoadDocument> = {}): LoadDocument {
  return { ...IDLE, reads: load / 2, writes: load / 4, readBytes: load * 8192, load, ...more }
}

export function nodeDocument(
  node: string,
  load: number,
  more: Partial<NodeLoadDocument> = {}
): NodeLoadDocument {
  const known = { region: 'eu', isSelf: false, ageMs: 0, from: 'answer' as const }
  return { ...loadDocument(load), node, ...known, ...more }
}

/** Two nodes that answer, one of which only gossip is known, one of which nothing is. */
export function topDocument(): TopDocument {
  const rising = [
    { minutes: 15, q50: 1200, q90: 1500, q95: 1600 },
    { minutes: 60, q50: 1700, q90: 1900, q95: 2000 }
  ]
  const falling = [
    { minutes: 15, q50: 240, q90: 320, q95: 340 },
    { minutes: 60, q50: 100, q90: 200, q95: 250 }
  ]
  const steady = [
    { minutes: 15, q50: 300, q90: 310, q95: 320 },
    { minutes: 60, q50: 305, q90: 320, q95: 330 }
  ]
  const latency = { p50Us: 180, p99Us: 2140, queue: 3.2 }
  return {
    at: AT,
    nodes: [
      nodeDocument('eu-2', 300, { ahead: steady, chance: 0.01, from: 'gossip', ageMs: 185_000 }),
      nodeDocument('eu-1', 1000, {
        ...latency,
        isSelf: true,
        capacity: 2000,
        share: 0.5,
        ahead: rising,
        chance: 0.73,
        warming: { left: 3, all: 40 }
      }),
      nodeDocument('us-1', 0, { region: 'us', from: 'nothing' })
    ],
    volumes: [
      { ...loadDocument(300, { ahead: falling, chance: 0.02 }), volume: 'db', shards: 1 },
      {
        ...loadDocument(1000, { ...latency, ahead: rising, chance: 0.5 }),
        volume: 'web',
        shards: 2
      }
    ],
    shards: [
      { ...loadDocument(300, { ahead: falling }), volume: 'db', node: 'eu-2' },
      { ...loadDocument(1000, { ...latency }), volume: 'web', node: 'eu-1', share: 0.5 }
    ],
    silent: ['eu-2', 'us-1']
  }
}

/** A day that goes up and down, and six hours of the same ahead. */
export function forecastDocument(more: Partial<ForecastDocument> = {}): ForecastDocument {
  const load = (minute: number): number => 800 - 600 * Math.cos((minute / 1440) * 2 * Math.PI)
  const path = Array.from({ length: 72 }, (_, step) => load(step * 5))
  return {
    subject: 'web',
    kind: 'volume',
    at: AT,
    stepMs: 5 * MINUTE_MS,
    history: { stepMs: 5 * MINUTE_MS, loads: Array.from({ length: 288 }, (_, i) => load(i * 5)) },
    path,
    bands: { q50: path, q90: path.map(one => one * 1.2), q95: path.map(one => one * 1.4) },
    model: 'seasonal autoregression',
    skill: 0.314,
    threshold: { load: 1600, from: 'capacity' },
    chance: { hour: 0.12, horizon: 0.64 },
    crossing: { expectedAt: AT + 12 * 60 * MINUTE_MS, highAt: AT + 90 * MINUTE_MS },
    historyDays: 12.4,
    zone: 'Europe/Berlin',
    patterns: ['mon-fri 02:00'],
    ...more
  }
}

/** What was asked of it, in order: method, path with query, content type, body. */
export interface Asked {
  readonly what: string
  readonly type: string | undefined
  readonly body: string
}

export interface Recorded {
  top: () => TopDocument
  forecast: () => ForecastDocument
  /** Pieces of the CSV; `hangUp` cuts the connection. */
  csv: (hangUp: () => void) => AsyncIterable<string>
  imported: () => ImportDocument
}

export function recordedApi(recorded: Recorded): { app: Hono; asked: Asked[] } {
  const app = new Hono()
  const asked: Asked[] = []
  app.onError(({ message }, c) => c.json({ error: { code: 'TIMEOUT', message } }, 503))
  app.use(async (c, next) => {
    const { pathname, search } = new URL(c.req.url)
    const type = c.req.header('content-type')
    asked.push({ what: `${c.req.method} ${pathname}${search}`, type, body: await c.req.text() })
    await next()
  })
  app.get('/v1/load', c => c.json(recorded.top()))
  app.get('/v1/load/forecast', c => c.json(recorded.forecast()))
  app.post('/v1/load/import', c => c.json(recorded.imported()))
  app.get('/v1/load/export', c => {
    const { outgoing } = c.env as HttpBindings
    // What was written in this turn leaves first.
    const hangUp = () => void setImmediate(() => outgoing.socket?.destroySoon())
    const pieces = recorded.csv(hangUp)[Symbol.asyncIterator]()
    const body = new ReadableStream({
      pull: async controller => {
        const { done, value } = await pieces.next()
        if (done === true) controller.close()
        else controller.enqueue(new TextEncoder().encode(value))
      }
    })
    return new Response(body, { headers: { 'content-type': 'text/csv' } })
  })
  return { app, asked }
}
