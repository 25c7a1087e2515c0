/**
 * The control API of a running daemon: HTTP and JSON over the unix socket DIR/control.sock, described
 * in docs/control-api.md. Whoever may open the socket may do everything: it is its owner's alone.
 *
 * Invariants: the socket never exists with a mode other than 0600; a JSON request is bounded; every
 * error has the one shape of errors.ts.
 */
import { existsSync, rmSync } from 'node:fs'
import type { Server } from 'node:http'
import { join } from 'node:path'
import { createAdaptorServer } from '@hono/node-server'
import { Hono, type MiddlewareHandler } from 'hono'
import { messageOf, ShoalError } from '../../protocols/fault.ts'
import { stateOf } from '../balance/views.ts'
import { CONTROL_CLOSE_MS, MAX_CONTROL_BODY_BYTES, MAX_SOCKET_PATH_BYTES } from '../limits.ts'
import type { Clock } from '../ports.ts'
import { startReaper } from '../volumes/reaper.ts'
import { Volumes } from '../volumes/volumes.ts'
import { balanceRoutes } from './balance-routes.ts'
import { calibrationRoutes } from './calibration-routes.ts'
import type { DaemonContext } from './context.ts'
import { answerError, errorDocument } from './errors.ts'
import { giveUpRoutes } from './give-up-routes.ts'
import { loadImportRoute, loadRoutes } from './load-routes.ts'
import { loadKeepingDocument } from './load-views.ts'
import { memberRoutes } from './member-routes.ts'
import { moveRoutes } from './move-routes.ts'
import { nodeLimitRoutes } from './node-limit-routes.ts'
import { serveNodeStatus } from './node-status.ts'
import { patternRoutes } from './pattern-routes.ts'
import { RateMeter } from './rates.ts'
import { describeSelf, meshStatus } from './status.ts'
import { volumePolicyRoutes } from './volume-policy-routes.ts'
import { streamedImportRoute, volumeRoutes } from './volume-routes.ts'

export interface Control {
  readonly socketPath: string
  readonly volumes: Volumes
  /** Answers nobody from now on; requests that had begun are cut off. Idempotent. */
  readonly close: () => Promise<void>
}

export function controlSocketPath(dir: string): string {
  return join(dir, 'control.sock')
}

/** Serves the API and node-status, frees what was deleted meanwhile, attaches again what was. */
export async function startControl(context: DaemonContext): Promise<Control> {
  const volumes = await Volumes.open(context, context.self.host)
  const reaper = context.store === undefined ? undefined : startReaper(context, context.store)
  const rates = new RateMeter(context.clock, context.shardCounters)
  rates.start()
  serveNodeStatus(context, rates, () => [...volumes.problems(), ...(reaper?.problems() ?? [])])
  const socketPath = controlSocketPath(context.self.dir)
  const server = await listen(controlApp(context, volumes), socketPath)
  volumes.restore()
  return {
    socketPath,
    volumes,
    close: async () => {
      volumes.close()
      reaper?.stop()
      rates.stop()
      await closeServer(context.clock, server)
      rmSync(socketPath, { force: true })
    }
  }
}

/** The API without its socket; tests call `fetch` on it. */
export function controlApp(context: DaemonContext, volumes: Volumes): Hono {
  const app = new Hono()
  app.onError((error, c) => answerError(c, error, context.log))
  app.notFound(c => {
    const what = `${c.req.method} ${c.req.path}`
    const fault = new ShoalError({ code: 'NOT_FOUND', what }, `there is no ${what} here`)
    return c.json(errorDocument(fault), 404)
  })
  app.route('/', streamedImportRoute(context, volumes))
  app.route('/', loadImportRoute(context))
  app.use(boundBody)
  app.get('/v1/self', c => {
    const { balance } = context
    const state = balance && { balance: stateOf(balance) }
    return c.json({ ...describeSelf(context), load: loadKeepingDocument(context), ...state })
  })
  app.get('/v1/status', async c => c.json(await meshStatus(context)))
  app.post('/v1/shutdown', c => {
    context.shutdown('asked for over the control socket')
    return c.json({ stopping: true })
  })
  app.route('/', memberRoutes(context))
  app.route('/', moveRoutes(context))
  app.route('/', balanceRoutes(context))
  app.route('/', loadRoutes(context))
  app.route('/', giveUpRoutes(context))
  app.route('/', calibrationRoutes(context))
  app.route('/', nodeLimitRoutes(context))
  app.route('/', patternRoutes(context, volumes))
  app.route('/', volumePolicyRoutes(context, volumes))
  app.route('/', volumeRoutes(context, volumes))
  return app
}

/** Node's HTTP parser holds a client to the length that it announced. */
const boundBody: MiddlewareHandler = async (c, next) => {
  const isStreamed = c.req.header('transfer-encoding') !== undefined
  if (isStreamed || Number(c.req.header('content-length') ?? 0) > MAX_CONTROL_BODY_BYTES) {
    throw new ShoalError(
      { code: 'LIMIT', limit: 'MAX_CONTROL_BODY_BYTES' },
      `a request names its length and is at most ${MAX_CONTROL_BODY_BYTES} bytes long`
    )
  }
  await next()
}

async function listen(app: Hono, socketPath: string): Promise<Server> {
  if (Buffer.byteLength(socketPath) > MAX_SOCKET_PATH_BYTES) {
    throw new ShoalError(
      { code: 'DATA_DIR', dir: socketPath, problem: 'format' },
      `${socketPath} is too long for a unix socket (${MAX_SOCKET_PATH_BYTES} bytes): choose a ` +
        'data directory with a shorter path'
    )
  }
  // The data directory is locked by this daemon: a socket that is there is nobody's.
  if (existsSync(socketPath)) rmSync(socketPath)
  const server = createAdaptorServer({ fetch: app.fetch, overrideGlobalObjects: false }) as Server
  server.requestTimeout = 0
  const before = process.umask(0o177)
  try {
    // A unix socket is bound within the call: it is created under this umask.
    const listening = new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(socketPath, resolve)
    })
    process.umask(before)
    await listening
  } catch (error) {
    throw new ShoalError(
      { code: 'DATA_DIR', dir: socketPath, problem: 'not-writable' },
      `cannot listen on ${socketPath}: ${messageOf(error)}`,
      { cause: error }
    )
  } finally {
    process.umask(before)
  }
  return server
}

/** Lets answers that are being sent leave; what waits for the weather is cut off. */
async function closeServer(clock: Clock, server: Server): Promise<void> {
  if (!server.listening) return
  await new Promise<void>(resolve => {
    const timer = clock.after(CONTROL_CLOSE_MS, () => server.closeAllConnections())
    server.close(() => {
      timer.cancel()
      resolve()
    })
    server.closeIdleConnections()
  })
}
