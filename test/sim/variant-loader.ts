/**
 * Loads the code with one deliberate mistake: `node --import .../variant-loader.js`, with the name
 * in SHOAL_SIM_VARIANT. One text in one compiled file is replaced; a text that is not there exactly
 * once ends the process at once.
 */
import { register } from 'node:module'
import { variantNamed } from './variants.ts'

const variant = variantNamed(process.env.SHOAL_SIM_VARIANT ?? '')
register('./variant-hooks.js', { parentURL: import.meta.url, data: variant })
