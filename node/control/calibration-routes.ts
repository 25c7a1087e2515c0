/** The routes of what this node can do: measuring it, and what was found last. */
import { Hono } from 'hono'
import { z } from 'zod'
import { ShoalError } from '../../protocols/fault.ts'
import { ratesOf } from '../../protocols/load/capacity.ts'
import type { Calibrated, Calibration } from '../load/calibrate.ts'
import type { DaemonContext } from './context.ts'
import { readBody } from './errors.ts'
import type { CalibrationDocument, CalibrationStateDocument } from './load-documents.ts'

const startSchema = z.strictObject({ quick: z.boolean().optional(), force: z.boolean().optional() })

export function calibrationRoutes(context: DaemonContext): Hono {
  const routes = new Hono()
  const own = () => context.calibration ?? refuse(context)
  routes.get('/v1/calibration', c => c.json(stateOf(own())))
  routes.post('/v1/calibration', async c => {
    const { quick = false, force = false } = await readBody(c, startSchema)
    const calibration = own()
    const warnings = await calibration.start({ isQuick: quick, force })
    return c.json({ ...stateOf(calibration), warnings }, 202)
  })
  routes.delete('/v1/calibration', async c => {
    const calibration = own()
    const wasRunning = await calibration.cancel()
    return c.json({ ...stateOf(calibration), wasRunning })
  })
  return routes
}

function refuse({ self }: DaemonContext): never {
  throw new ShoalError(
    { code: 'CONFLICT', what: self.name },
    `node ${self.name} keeps no data, so there is nothing to measure: run it on a storage node`
  )
}

function stateOf(calibration: Calibration): CalibrationStateDocument {
  const running = calibration.running()
  const ended = calibration.ended()
  const last = calibration.last()
  return {
    ...(running === undefined ? {} : { running }),
    ...(ended === undefined ? {} : { ended }),
    ...(last === undefined ? {} : { last: documentOf(last) })
  }
}

function documentOf(last: Calibrated): CalibrationDocument {
  const { at, tookMs, isQuick, coldReads, costs, capacity } = last
  const cells = last.cells.map(cell => {
    const { readBytes, writtenBytes } = ratesOf(cell)
    return { ...cell, bytesPerSecond: readBytes + writtenBytes }
  })
  return { at, cells, capacity, tookMs, isQuick, coldReads, costs }
}
