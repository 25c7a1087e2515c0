/** The version of this Shoal, as status and the map show it; package.json says the same. */
export const VERSION = '0.1.0'
