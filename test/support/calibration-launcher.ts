/**
 * `node dist/test/support/calibration-launcher.js DIR`: a calibration of 8 MiB in a process of its
 * own, to be killed; says `measuring` once it is in its first cell, which lasts for a minute.
 */
import { openCalibration } from '../../node/load/calibrate.ts'
import { calibrationParts } from './calibration-parts.ts'

const [dir = '.'] = process.argv.slice(2)
// Timers of the clock keep no process alive: it lives until it is killed.
setInterval(() => {}, 1000)
const calibration = await openCalibration({ ...calibrationParts(dir), cellMs: 60_000 })
await calibration.start({ isQuick: true, force: false })
const look = setInterval(() => {
  if (calibration.running()?.cell !== 1) return
  console.log('measuring')
  clearInterval(look)
}, 5)
