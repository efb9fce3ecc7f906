// Style sheets, as bundlers take them.
declare module "*.css";
